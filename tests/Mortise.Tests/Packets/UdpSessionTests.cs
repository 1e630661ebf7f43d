using System.Text;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Packets;

/// <summary>A server of messages over UDP: a session for each peer, and a datagram for each message.</summary>
public sealed class UdpSessionTests
{
    private static readonly Endpoint Here = Endpoint.Parse("udp://127.0.0.1:0");

    [Fact]
    public async Task Three_interleaved_clients_get_only_their_own_answers()
    {
        await using var server = SocketServer.Start(Here, Codec.Lines(), 
            (s, line) => s.SendAsync($"{line[..3]}{s.Id % 10}")); // no longer than what was asked
        await using var a = await ConnectAsync(server);
        await using var b = await ConnectAsync(server);
        await using var c = await ConnectAsync(server);
        var names = new List<string>();
        for (var round = 0; round < 50; round++)
        {
            await Task.WhenAll(new[] { a, b, c }
                .Select((s, i) => s.SendAsync($"{(char)('a' + i)}{round:00}?").AsTask()));
            foreach (var (client, name) in new[] { (a, 'a'), (b, 'b'), (c, 'c') })
            {
                var answer = await client.ReceiveAsync(Limits.Soon);
                Assert.Equal($"{name}{round:00}", answer[..3]);
                names.Add($"{name}{answer[3..]}");
            }
        }

        Assert.Equal(3, names.Distinct().Count());
        Assert.Equal(3, server.Statistics.Accepted);
        Assert.Equal(3, server.Connections.Select(s => s.RemoteEndpoint).Distinct().Count());
        Assert.Equal(150, server.Statistics.FramesReceived);
        Assert.Equal(0, server.Statistics.Dropped);
        Row.Observed("I16", "3 clients interleaved over one UDP port, 50 rounds: 150 answers, each only to its own "
            + "sender, 3 sessions");
    }

    [Fact]
    public async Task Raw_bytes_are_echoed_datagram_by_datagram()
    {
        await using var server = SocketServer.Start(Here, c => c.Input.CopyToAsync(c.Output, c.Closed));
        using var client = DatagramSocket.Connect(server.Endpoints[0]);
        var room = new byte[70_000];
        foreach (var bytes in new[] { 1, 10, 1_400, 65_507, 5_000 })
        {
            var sent = new byte[bytes];
            new Random(bytes).NextBytes(sent);
            await client.SendAsync(sent, Limits.Soon);
            var received = await client.ReceiveAsync(room, Limits.Soon);
            Assert.Equal(sent, room[..received.Length]);
        }
    }

    [Fact]
    public async Task Each_message_is_a_datagram_and_each_datagram_a_message()
    {
        await using var server = SocketServer.Start(Here, Codec.Lines(), async (s, line) =>
        {
            for (var i = 1; i <= 5; i++)
                await s.SendAsync($"{line} {i}");
        }, o => o.Transport.AllowAmplification = true);
        using var plain = DatagramSocket.Connect(server.Endpoints[0]);
        await plain.SendAsync("count\n"u8.ToArray(), Limits.Soon);
        for (var i = 1; i <= 5; i++)
            Assert.Equal($"count {i}\n", await NextAsync(plain));
        // and a datagram of several frames is several messages
        await plain.SendAsync("a\nb\n"u8.ToArray(), Limits.Soon);
        for (var i = 1; i <= 10; i++)
            Assert.Equal(i <= 5 ? $"a {i}\n" : $"b {i - 5}\n", await NextAsync(plain));
        Row.Observed("N11", "UDP sessions: 5 messages of one handler are 5 datagrams, received one by one");
    }

    [Theory]
    [InlineData("torn", "len:4")]
    [InlineData("\0\0\0\u0009four", "len:4")]
    [InlineData("GET / HTTP/1.1\r\n\r\n", "len:4,max=1KiB")]
    [InlineData("no end", "line")]
    [InlineData("{\"open\":", "json")]
    public async Task A_bad_datagram_is_dropped_and_counted_and_the_session_lives_on(string bad, string rule)
    {
        var codec = Codec.Frames(Framing.Parse(rule));
        await using var server = SocketServer.Start(Here, codec, (s, frame) => s.SendAsync(frame));
        using var plain = DatagramSocket.Connect(server.Endpoints[0]);
        var good = new System.Buffers.ArrayBufferWriter<byte>();
        codec.Framing.Write("[1]"u8, good);
        await plain.SendAsync(good.WrittenMemory, Limits.Soon);
        await NextAsync(plain);
        await plain.SendAsync(Encoding.ASCII.GetBytes(bad), Limits.Soon);
        await plain.SendAsync(good.WrittenMemory, Limits.Soon);
        Assert.Equal(Encoding.ASCII.GetString(good.WrittenSpan), await NextAsync(plain));
        Assert.Equal((1, 1, 2), (server.Statistics.Dropped, server.Statistics.Accepted,
            server.Statistics.FramesReceived));
    }

    [Fact]
    public async Task A_message_longer_than_a_datagram_says_so_and_the_session_lives_on()
    {
        var failure = new TaskCompletionSource<ConnectionException>();
        await using var server = SocketServer.Start(Here, Codec.Lines(), async (s, line) =>
        {
            try
            {
                await s.SendAsync(new string('x', 65_507)); // and its end
            }
            catch (ConnectionException e)
            {
                failure.TrySetResult(e);
            }

            await s.SendAsync(line);
        }, o => o.Transport.AllowAmplification = true);
        await using var client = await ConnectAsync(server);
        await client.SendAsync("go on");
        Assert.Equal("go on", await client.ReceiveAsync(Limits.Soon));
        var error = await failure.Task.WaitAsync(Limits.Soon);
        Assert.Equal("EMSGSIZE", error.Symbol);
        Assert.Contains("65508 bytes, and one datagram carries at most 65507", error.Message, StringComparison.Ordinal);
        var own = await Assert.ThrowsAsync<ConnectionException>(
            () => client.SendAsync(new string('x', 65_507)).AsTask());
        Assert.Equal("EMSGSIZE", own.Symbol);
        await client.SendAsync(new string('y', 65_506));
        Assert.Equal(65_506, (await client.ReceiveAsync(Limits.Soon)).Length);
        Row.Observed("I17", "sessions: 65,507 B go, 65,508 B are refused with EMSGSIZE and the limit, on both sides");
    }

    [Theory]
    [InlineData("udp://0.0.0.0:0", "127.0.0.2")]
    [InlineData("udp://*:0", "127.0.0.3")]
    [InlineData("udp://*:0", "::1")]
    public async Task Answers_leave_from_the_address_that_was_asked(string bound, string asked)
    {
        await using var server = SocketServer.Start(Endpoint.Parse(bound), Codec.Lines(), (s, l) => s.SendAsync(l));
        var at = server.Endpoints[0].WithHost(asked);
        await using var client = await SocketClient.ConnectAsync(at, Codec.Lines());
        await client.SendAsync("which?");
        Assert.Equal("which?", await client.ReceiveAsync(Limits.Soon)); // a connected client hears only its peer
        Assert.Equal(at, Assert.Single(server.Connections).LocalEndpoint);
    }

    [Fact]
    public async Task A_port_that_nobody_has_is_told_to_the_client()
    {
        var gone = DatagramSocket.Bind(Here);
        gone.Dispose();
        await using var client = await SocketClient.ConnectAsync(gone.LocalEndpoint, Codec.Lines());
        var error = await Assert.ThrowsAsync<ConnectionException>(async () =>
        {
            await client.SendAsync("anybody?"); // its end may be told already here
            await client.ReceiveAsync(Limits.Soon);
        });
        Assert.Equal(("ECONNREFUSED", CloseReason.Reset), (error.Symbol, error.CloseReason));
        Assert.Contains("ICMP", error.Message, StringComparison.Ordinal);
        Assert.Equal(CloseReason.Reset, client.CloseReason);
        await Assert.ThrowsAsync<ConnectionException>(() => client.SendAsync("again").AsTask());
    }

    [Fact]
    public async Task A_group_reaches_its_peers_and_a_drain_ends_them()
    {
        await using var server = SocketServer.Start(Here, Codec.Lines(), async (s, line) =>
        {
            s.Connection.ConfirmPeer();
            s.Groups["all"].Add(s);
            await s.Groups["all"].BroadcastAsync(line);
        });
        await using var a = await ConnectAsync(server);
        await using var b = await ConnectAsync(server);
        await a.SendAsync("first");
        Assert.Equal("first", await a.ReceiveAsync(Limits.Soon));
        await b.SendAsync("both");
        Assert.Equal("both", await a.ReceiveAsync(Limits.Soon));
        Assert.Equal("both", await b.ReceiveAsync(Limits.Soon));
        var drained = await server.StopAsync();
        Assert.Equal((2, 0), (drained.Finished, drained.Aborted));
        Assert.Equal(2, server.Statistics.Closed(CloseReason.Drain));
        // the socket went with the last of them
        using var next = DatagramSocket.Bind(server.Endpoints[0]);
    }

    [Fact]
    public async Task Requests_find_their_replies_over_datagrams()
    {
        await using var server = SocketServer.Start(Here, Codec.Lines(), (s, line) => s.SendAsync(line));
        var options = new SessionOptions<string> { Correlation = Correlate.InOrder<string>() };
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines(), options);
        for (var i = 0; i < 100; i++)
            Assert.Equal($"r{i}", await client.RequestAsync($"r{i}", TimeSpan.FromSeconds(10)));
    }

    private static ValueTask<Session<string>> ConnectAsync(SocketServer server) =>
        SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());

    private static async Task<string> NextAsync(DatagramSocket socket)
    {
        var room = new byte[1_500];
        var received = await socket.ReceiveAsync(room, Limits.Soon);
        return Encoding.UTF8.GetString(room, 0, received.Length);
    }
}
