using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>One server after the other in the same place, and stops that come more than once.</summary>
[Collection("alone")]
public sealed class HandOverTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public async Task A_server_that_is_disposed_after_suspending_leaves_its_successors_socket_file_alone()
    {
        var place = Endpoint.Parse($"unix:{Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}")}");
        var old = SocketServer.Start(place, c => c.Input.CopyToAsync(c.Output));
        await old.SuspendAsync().InTime();
        await using var next = SocketServer.Start(place, c => c.SendAsync(new byte[1]).AsTask());
        await old.DisposeAsync();
        await using var client = await SocketClient.ConnectAsync(place, cancellationToken: Limits.Soon);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }

    [Fact]
    public async Task A_live_server_with_a_full_accept_queue_is_not_waited_for()
    {
        var place = Endpoint.Parse($"unix:{Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}")}");
        using var busy = SocketServer.Listen(place, new TransportOptions { Backlog = 0 });
        var address = new UnixDomainSocketEndPoint(place.Host);
        var waiting = new List<Socket>();
        try
        {
            for (var full = false; !full;)
            {
                waiting.Add(new Socket(AddressFamily.Unix, SocketType.Stream, 0) { Blocking = false });
                try
                {
                    waiting[^1].Connect(address);
                }
                catch (SocketException)
                {
                    full = true;
                }
            }

            var refused = await Assert.ThrowsAsync<BindException>(
                () => Task.Run(() => SocketServer.Listen(place)).WaitAsync(Limits.Time));
            Assert.Equal("EADDRINUSE", refused.Symbol);
        }
        finally
        {
            waiting.ForEach(s => s.Dispose());
        }
    }

    [Fact]
    public async Task Every_drain_waits_for_its_own_connections()
    {
        var gate = new TaskCompletionSource();
        await using var server = SocketServer.Start(AnyPort, async c =>
        {
            if (await c.ReceiveAsync(new byte[1]) == 1)
                await gate.Task;
        });
        var first = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await Limits.UntilAsync(() => server.Statistics.Current == 1, "the first did not come");
        await first.DisposeAsync();
        Assert.Equal(0, (await server.DrainAsync(Limits.Time).InTime()).Aborted);

        await using var second = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await second.SendAsync(new byte[1]);
        await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: 1 }], "the second did not come");
        var draining = server.DrainAsync(Limits.Time);
        gate.SetResult();
        await second.DisposeAsync();
        var result = await draining.InTime();
        Assert.Equal((1, 0), (result.Finished, result.Aborted));
    }

    [Fact]
    public async Task A_fault_while_draining_is_counted_as_a_fault()
    {
        await using var server = SocketServer.Start(AnyPort, async c =>
        {
            await c.SendAsync(new byte[1]);
            await c.ReceiveAsync(new byte[1]);
            throw new InvalidOperationException("a fault of the handler");
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        await server.StopAsync(Limits.Time).InTime();
        Assert.Equal(1, server.Statistics.HandlerFaults);
        Assert.Equal(0, server.Statistics.Closed(CloseReason.Drain));
    }

    [Fact]
    public void An_option_that_the_kernel_refuses_fails_the_start_and_not_every_newcomer()
    {
        var refused = Assert.Throws<BindException>(() => SocketServer.Listen(AnyPort,
            new TransportOptions { KeepAliveIdle = TimeSpan.FromDays(1) }));
        Assert.Equal("EINVAL", refused.Symbol);
    }
}
