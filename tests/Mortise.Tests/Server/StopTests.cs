using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>Suspend, drain, abort: what was accepted is answered, what does not end is cut off.</summary>
[Collection("alone")]
public sealed class StopTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public async Task Requests_that_were_received_are_answered_while_draining()
    {
        var gate = new TaskCompletionSource();
        var begun = 0;
        await using var server = SocketServer.Start(AnyPort, Codec.Lines(), async (s, line) =>
        {
            Interlocked.Increment(ref begun);
            await gate.Task;
            await s.SendAsync(line);
        });
        var clients = await Task.WhenAll(Enumerable.Range(0, 20).Select(async _ =>
            await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines())));
        foreach (var client in clients)
        {
            await client.SendAsync("one");
            await client.SendAsync("two");
        }

        await Limits.UntilAsync(() => begun == 20, "not all requests arrived");
        var stopping = server.StopAsync(Limits.Time);
        gate.SetResult();
        foreach (var client in clients)
        {
            Assert.Equal("one", await client.ReceiveAsync(Limits.Soon));
            Assert.Equal("two", await client.ReceiveAsync(Limits.Soon));
            await Assert.ThrowsAsync<FrameException>(async () => await client.ReceiveAsync(Limits.Soon));
            await client.DisposeAsync();
        }

        var result = await stopping.InTime();
        Assert.Equal((20, 0), (result.Finished, result.Aborted));
        Assert.Equal(20, server.Statistics.Closed(CloseReason.Drain));
        Assert.Equal(0, server.Statistics.Current);
    }

    [Fact]
    public async Task What_does_not_end_is_aborted_at_the_deadline()
    {
        var time = new ManualTime();
        var network = new MemoryNetwork();
        var place = Endpoint.Parse("mem:stop");
        await using var server = SocketServer.Start(place, async c =>
        {
            if (await c.ReceiveAsync(new byte[1]) == 1)
                await Task.Delay(Timeout.Infinite, c.Closed);
        }, o => (o.Transport.Memory, o.Transport.Time) = (network, time));
        var stubborn = await SocketClient.ConnectAsync(place, o => o.Transport.Memory = network);
        var willing = await SocketClient.ConnectAsync(place, o => o.Transport.Memory = network);
        await stubborn.SendAsync(new byte[1]);
        await Limits.UntilAsync(() => server.Statistics.BytesReceived == 1, "the byte did not arrive");
        var draining = server.StopAsync(TimeSpan.FromSeconds(10));
        Assert.Equal(0, await willing.ReceiveAsync(new byte[1], Limits.Soon));
        await willing.DisposeAsync();
        await Limits.UntilAsync(() => server.Statistics.Current == 1, "the willing one did not leave");
        Assert.False(draining.IsCompleted);
        await Limits.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(1));
            return draining.IsCompleted;
        }, "the deadline did not end it");
        var result = await draining;
        Assert.Equal((1, 1), (result.Finished, result.Aborted));
        await Assert.ThrowsAsync<ConnectionException>(() => stubborn.ReceiveAsync(new byte[1], Limits.Soon).AsTask());
    }

    [Fact]
    public async Task Who_was_answered_has_finished_though_the_peer_stays()
    {
        await using var server = SocketServer.Start(AnyPort, async c =>
        {
            await c.SendAsync(new byte[1]);
            while (await c.ReceiveAsync(new byte[1]) > 0)
            {
            }
        }, o => o.CloseLinger = Limits.Time);
        var clients = await Task.WhenAll(Enumerable.Range(0, 5).Select(async _ =>
            await SocketClient.ConnectAsync(server.Endpoints[0])));
        foreach (var client in clients)
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        // They never close, so each connection waits for its FIN when the time is over.
        var result = await server.StopAsync(TimeSpan.FromSeconds(2)).InTime();
        Assert.Equal((5, 0), (result.Finished, result.Aborted));
        foreach (var client in clients)
            await client.DisposeAsync();
    }

    [Fact]
    public async Task Suspend_serves_those_whom_the_kernel_had_let_in_and_nobody_after()
    {
        var served = 0;
        await using var server = SocketServer.Start(AnyPort, async c =>
        {
            Interlocked.Increment(ref served);
            await c.SendAsync(new byte[1]);
            await c.ReceiveAsync(new byte[1]);
        }, o => o.AcceptDelay = TimeSpan.FromSeconds(30));
        var clients = await Task.WhenAll(Enumerable.Range(0, 10).Select(async _ =>
            await SocketClient.ConnectAsync(server.Endpoints[0])));
        await Limits.UntilAsync(() => server.Listeners[0].AcceptQueueLength == 9, "the queue did not fill");
        await server.SuspendAsync().InTime();
        foreach (var client in clients)
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        var refused = await Assert.ThrowsAsync<ConnectException>(
            async () => await SocketClient.ConnectAsync(server.Endpoints[0]));
        Assert.Equal("ECONNREFUSED", refused.Symbol);
        foreach (var client in clients)
            await client.DisposeAsync();
        Assert.Equal(10, served);
        Row.Observed("F05", "the kernel connected 10 clients while one was served; the others were taken in turn");
    }

    [Fact]
    public async Task A_server_that_closed_first_can_start_again_at_once()
    {
        var first = SocketServer.Start(AnyPort, c => c.SendAsync(new byte[1]).AsTask());
        var endpoint = first.Endpoints[0];
        var client = await SocketClient.ConnectAsync(endpoint);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        Assert.Equal(0, await client.ReceiveAsync(new byte[1], Limits.Soon));
        await client.DisposeAsync();
        await first.StopAsync(Limits.Time);
        await first.DisposeAsync();
        await using var second = SocketServer.Start(endpoint, c => c.SendAsync(new byte[1]).AsTask());
        await using var again = await SocketClient.ConnectAsync(endpoint);
        await again.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        Row.Observed("E05", $"the server closed first and stopped; a new one on {endpoint} served at once");
    }
}
