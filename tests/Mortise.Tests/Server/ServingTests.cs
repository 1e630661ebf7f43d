using System.Diagnostics;
using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>A server on real sockets: one listener, many clients, none of whom can harm another.</summary>
[Collection("alone")]
public sealed class ServingTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public async Task One_listener_serves_clients_one_after_another_and_frees_their_descriptors()
    {
        var ids = new System.Collections.Concurrent.ConcurrentDictionary<long, bool>();
        await using var server = SocketServer.Start(AnyPort, c => c.Input.CopyToAsync(c.Output),
            o => o.OnAccepted = c => ids[c.Id] = true);
        await OneAsync(server);
        var before = Limits.OpenSockets();
        for (var i = 0; i < 2000; i++)
            await OneAsync(server);
        await Limits.UntilAsync(() => server.Statistics.Current == 0, "connections are left");
        await Limits.UntilAsync(() => Limits.OpenSockets() <= before, "sockets are left open");
        Assert.Equal(2001, ids.Count);
        Assert.Single(server.Listeners);
        Row.Observed("G01", $"{ids.Count} clients one after another: {ids.Count} connection ids, 1 listener");
        Row.Observed("J01", $"open sockets before 2000 connects: {before}, after: {Limits.OpenSockets()}");
        Row.Observed("E10", $"{ids.Count} connections shared port {server.Endpoints[0].Port}, each with its peer");
    }

    [Fact]
    public async Task Accept_waits_and_TryAccept_does_not()
    {
        using var listener = SocketServer.Listen(AnyPort);
        var started = Stopwatch.GetTimestamp();
        Assert.False(listener.TryAccept(out _));
        Assert.InRange(Stopwatch.GetElapsedTime(started), TimeSpan.Zero, TimeSpan.FromMilliseconds(500));
        var blocked = Task.Run(() => listener.Accept());
        await Task.Delay(30);
        Assert.False(blocked.IsCompleted);
        await using var first = await SocketClient.ConnectAsync(listener.Endpoint);
        await using var taken = await blocked.InTime();
        Assert.Equal(first.LocalEndpoint, taken.RemoteEndpoint);
        await using var second = await SocketClient.ConnectAsync(listener.Endpoint);
        Connection? tried = null;
        await Limits.UntilAsync(() => listener.TryAccept(out tried), "TryAccept never saw the client");
        await tried!.DisposeAsync();
        Row.Observed("G03", $"Accept blocked until {taken.RemoteEndpoint} came");
        Row.Observed("G04", "TryAccept on an empty queue returned false at once; with a client waiting, true");
    }

    [Fact]
    public async Task An_idle_or_a_broken_client_harms_nobody_else()
    {
        await using var server = SocketServer.Start(AnyPort, c => c.Input.CopyToAsync(c.Output));
        await using var idle = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await using var busy = await SocketClient.ConnectAsync(server.Endpoints[0]);
        var started = Stopwatch.GetTimestamp();
        await EchoAsync(busy);
        var answered = Stopwatch.GetElapsedTime(started);
        var broken = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await broken.SendAsync(new byte[100_000]);
        broken.Abort();
        await EchoAsync(busy);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Reset) == 1, "no reset was counted");
        await OneAsync(server);
        Assert.Equal(0, server.Statistics.HandlerFaults);
        Row.Observed("G05", $"the first client idle, the second answered in {answered.TotalMilliseconds:0.0} ms");
        Row.Observed("G08", "a client reset in the middle of its message; the others and a new one were served");
    }

    [Fact]
    public async Task A_fault_in_a_handler_or_a_callback_ends_one_connection()
    {
        await using var server = SocketServer.Start(AnyPort, async c =>
        {
            var one = new byte[1];
            await c.ReceiveExactlyAsync(one);
            if (one[0] == (byte)'!')
                throw new InvalidOperationException("planted");
            await c.SendAsync(one);
        }, o =>
        {
            o.OnClosed = _ => throw new InvalidOperationException("planted in OnClosed");
            var first = true;
            o.OnAccepted = _ =>
            {
                if (first && !(first = false))
                    throw new InvalidOperationException("planted in OnAccepted");
            };
        });
        for (var i = 0; i < 5; i++)
        {
            await using var bad = await SocketClient.ConnectAsync(server.Endpoints[0]);
            await bad.SendAsync("!"u8.ToArray());
            Assert.Equal(0, await bad.ReceiveAsync(new byte[1], Limits.Soon));
        }

        await using var good = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await EchoAsync(good);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.HandlerFault) == 5,
            "5 faults were not counted");
        await good.DisposeAsync();
        await Limits.UntilAsync(() => server.Statistics.Current == 0, "a place was kept");
    }

    [Fact]
    public async Task An_idle_server_uses_no_processor()
    {
        await using var server = SocketServer.Start(AnyPort, c => c.Input.CopyToAsync(c.Output));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await EchoAsync(client);
        // The runtime compiles behind the scenes after other tests; a server that spins never has a calm time.
        var used = TimeSpan.MaxValue;
        for (var window = 0; window < 4 && used > TimeSpan.FromSeconds(0.1); window++)
        {
            var before = Environment.CpuUsage.TotalTime;
            await Task.Delay(3000);
            used = Environment.CpuUsage.TotalTime - before;
        }

        Assert.InRange(used, TimeSpan.Zero, TimeSpan.FromSeconds(0.1));
        Row.Observed("F07", $"{used.TotalSeconds:0.000} s of CPU in 3 s idle, the listener and one connection open");
    }

    [Fact]
    public async Task The_options_are_in_force_on_both_ends()
    {
        using var listener = SocketServer.Listen(AnyPort);
        await using var client = await SocketClient.ConnectAsync(listener.Endpoint);
        await using var server = await listener.AcceptAsync(Limits.Soon);
        foreach (var socket in (Socket[])[client.Socket!, server.Socket!])
        {
            Assert.True(socket.NoDelay);
            Assert.Equal(1, (int)socket.GetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive)!);
            Assert.Equal(30, Tcp(socket, SocketOptionName.TcpKeepAliveTime));
            Assert.Equal(1, Tcp(socket, SocketOptionName.TcpKeepAliveInterval));
            Assert.Equal(30, Tcp(socket, SocketOptionName.TcpKeepAliveRetryCount));
            var userTimeout = new byte[4];
            socket.GetRawSocketOption(6, 18, userTimeout);
            Assert.Equal(60_000, BitConverter.ToInt32(userTimeout));
        }

        // Else the kernel gives an idle peer up before all probes have been tried.
        var defaults = new TransportOptions();
        var probing = defaults.KeepAliveCount * defaults.KeepAliveInterval;
        Assert.True(defaults.UserTimeout >= defaults.KeepAliveIdle + probing);

        Row.Observed("J09", "getsockopt on both ends: NODELAY 1, KEEPALIVE 1, KEEPIDLE 30, KEEPINTVL 1, KEEPCNT 30, "
            + "TCP_USER_TIMEOUT 60000");
    }

    private static int Tcp(Socket socket, SocketOptionName name) =>
        (int)socket.GetSocketOption(SocketOptionLevel.Tcp, name)!;

    private static async Task OneAsync(SocketServer server)
    {
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await EchoAsync(client);
    }

    private static async Task EchoAsync(Connection client)
    {
        await client.SendAsync("x"u8.ToArray());
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }
}
