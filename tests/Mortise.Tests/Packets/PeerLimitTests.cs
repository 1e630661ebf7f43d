using System.Net;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Packets;

/// <summary>What peers of a datagram socket can cost it at most: sessions, memory, time.</summary>
public sealed class PeerLimitTests
{
    private static readonly Endpoint Here = Endpoint.Parse("udp://127.0.0.1:0");

    [Fact]
    public async Task Sources_without_end_take_no_more_than_the_places_and_no_confirmed_peer_its_own()
    {
        const int Places = 20, Sources = 2_000;
        var most = 0;
        SocketServer? started = null;
        await using var server = started = SocketServer.Start(Here, Codec.Lines(), (s, line) =>
        {
            if (line == "friend")
                s.Connection.ConfirmPeer();
            most = Math.Max(most, started?.Connections.Count ?? 0);
            return s.SendAsync(line);
        }, o => (o.MaxConnections, o.Transport.Backlog) = (Places, 16));
        await using var friend = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await friend.SendAsync("friend");
        await friend.ReceiveAsync(Limits.Soon);
        for (var i = 0; i < Sources; i++)
        {
            using var forged = DatagramSocket.Connect(server.Endpoints[0]); // a new port each time
            await forged.SendAsync("forged\n"u8.ToArray(), Limits.Soon);
            if (i % 10 != 9)
                continue;
            await friend.SendAsync($"{i}");
            Assert.Equal($"{i}", await friend.ReceiveAsync(Limits.Soon));
        }

        Assert.InRange(most, 2, Places);
        Assert.InRange(server.Statistics.Current, 1, Places);
        Assert.True(server.Statistics.Closed(CloseReason.RateLimit) > 100, "nobody had to make room");
        await using var late = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        var heard = late.ReceiveAsync(Limits.Soon).AsTask();
        await Limits.UntilAsync(() => late.TrySend("newcomer") && heard.IsCompleted, "no newcomer is let in");
        Assert.Equal("newcomer", await heard);
    }

    [Fact]
    public async Task A_handler_that_does_not_keep_up_loses_its_own_datagrams_and_nobody_elses()
    {
        const int Sent = 2_000, Bytes = 100;
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var handled = 0;
        await using var server = SocketServer.Start(Here, Codec.Frames(Framing.Parse("raw")), async (s, frame) =>
        {
            if (frame.Length != Bytes)
            {
                await s.SendAsync(frame);
                return;
            }

            handled++;
            await gate.Task;
        }, o => o.Transport.ReceiveBufferBytes = 4 * 1024 * 1024);
        using var loud = DatagramSocket.Connect(server.Endpoints[0]);
        for (var i = 0; i < Sent; i++)
        {
            await loud.SendAsync(new byte[Bytes], Limits.Soon);
            if (i % 50 == 49) // as fast as the socket is emptied, so that the kernel loses none
                await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: var b }] && b == (i + 1) * Bytes,
                    "the socket waited for the handler");
        }

        Assert.InRange(Assert.Single(server.Connections).BytesHeld, 1, 64 * 1024 + Bytes);
        using var other = DatagramSocket.Connect(server.Endpoints[0]);
        await other.SendAsync(new byte[8], Limits.Soon);
        await other.ReceiveAsync(new byte[16], Limits.Soon);
        var dropped = server.Statistics.Dropped;
        gate.SetResult();
        await Limits.UntilAsync(() => handled + dropped == Sent, $"{handled} handled, {dropped} dropped of {Sent}");
        Assert.InRange(dropped, Sent / 2, Sent - 400);
    }

    [Theory, InlineData(null, 30), InlineData(50, 50)]
    public async Task A_peer_that_is_silent_is_let_go(int? set, int expected)
    {
        var time = new ManualTime();
        await using var server = SocketServer.Start(Here, Codec.Lines(), (s, line) => s.SendAsync(line), o =>
        {
            o.Transport.Time = time;
            if (set is { } seconds)
                o.IdleTimeout = TimeSpan.FromSeconds(seconds);
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await client.SendAsync("hello");
        await client.ReceiveAsync(Limits.Soon);
        await Limits.UntilAsync(() => server.Connections is [{ BytesHeld: 0 }], "the handler is still at it");
        var first = Assert.Single(server.Connections).Id;
        Advance(time, expected - 2);
        Assert.Single(server.Connections);
        Advance(time, 5);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Idle) == 1, "not let go");
        await client.SendAsync("again"); // and is welcome again, as somebody new
        Assert.Equal("again", await client.ReceiveAsync(Limits.Soon));
        Assert.NotEqual(first, Assert.Single(server.Connections).Id);
    }

    [Fact]
    public async Task No_address_has_more_sessions_than_its_share_and_who_is_denied_has_none()
    {
        await using var server = SocketServer.Start(Endpoint.Parse("udp://0.0.0.0:0"), Codec.Lines(),
            (s, line) => s.SendAsync(line), o =>
            {
                o.MaxConnectionsPerAddress = 3;
                o.Deny.Add("127.0.0.9");
            });
        var at = server.Endpoints[0].WithHost("127.0.0.1");
        for (var i = 0; i < 10; i++)
            await SendFromAsync("127.0.0.2", at);
        await SendFromAsync("127.0.0.9", at);
        await Limits.UntilAsync(() => server.Statistics.Accepted + server.Statistics.Rejected == 11, "not all judged");
        Assert.Equal((3, 8), (server.Statistics.Accepted, server.Statistics.Rejected));
        await using var other = await SocketClient.ConnectAsync(at, Codec.Lines());
        await other.SendAsync("hello");
        Assert.Equal("hello", await other.ReceiveAsync(Limits.Soon));
    }

    [Fact]
    public async Task A_server_that_stops_takes_no_newcomers_and_serves_those_it_has()
    {
        await using var server = SocketServer.Start(Here, Codec.Lines(), (s, line) => s.SendAsync(line));
        await using var known = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await known.SendAsync("before");
        await known.ReceiveAsync(Limits.Soon);
        await server.SuspendAsync();
        await using var late = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await late.SendAsync("late");
        await known.SendAsync("after");
        Assert.Equal("after", await known.ReceiveAsync(Limits.Soon));
        await Limits.UntilAsync(() => server.Statistics.Dropped == 1, "not counted");
        Assert.Equal(1, server.Statistics.Accepted);
    }

    [Fact]
    public void Datagrams_carry_no_PROXY_headers_and_it_says_so()
    {
        var refused = Assert.Throws<UnsupportedException>(() => SocketServer.Start(Here, _ => Task.CompletedTask, o =>
        {
            o.ProxyProtocol = ProxyProtocol.Require;
            o.TrustedProxies.Add("127.0.0.1");
        }));
        Assert.Contains("PROXY", refused.Message, StringComparison.Ordinal);
    }

    private static void Advance(ManualTime time, int seconds)
    {
        for (var i = 0; i < 2 * seconds; i++)
            time.Advance(TimeSpan.FromSeconds(0.5));
    }

    private static async Task SendFromAsync(string address, Endpoint to)
    {
        var options = new TransportOptions { Bind = new IPEndPoint(IPAddress.Parse(address), 0) is var at
            ? Endpoint.From(EndpointKind.Udp, at) : null };
        using var socket = DatagramSocket.Connect(to, options);
        await socket.SendAsync("hello\n"u8.ToArray(), Limits.Soon);
    }
}
