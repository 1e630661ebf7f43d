using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Packets;

/// <summary>Sequenced packets and datagrams over Unix sockets: what is sent in one piece comes in one.</summary>
public sealed class UnixPacketTests
{
    private static readonly FrameCodec Raw = Codec.Frames(Framing.Parse("raw"));

    [Fact]
    public async Task Three_sequenced_packets_are_three_reads()
    {
        var folder = Directory.CreateTempSubdirectory("packets-").FullName;
        var at = Endpoint.Parse($"unixseq:{folder}/seq");
        var sizes = new List<int>();
        await using var server = SocketServer.Start(at, Raw, (_, frame) =>
        {
            lock (sizes)
                sizes.Add(frame.Length);
            return default;
        });
        await using var client = await SocketClient.ConnectAsync(at);
        foreach (var bytes in new[] { 10, 20, 30 })
            await client.SendAsync(new byte[bytes]);
        await client.DisposeAsync();
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Eof) == 1, "the end did not come");
        Assert.Equal([10, 20, 30], sizes);
        Row.Observed("A08", "AF_UNIX seqpacket: 3 sends of 10/20/30 B are 3 receives of exactly 10/20/30 B, then the "
            + "end");
    }

    [Fact]
    public async Task Nothing_is_lost_of_sequenced_packets_however_slow_the_reader()
    {
        const int Packets = 3_000;
        var at = Endpoint.Parse($"unixseq:@mortise-{Guid.NewGuid():N}");
        var sum = 0L;
        await using var server = SocketServer.Start(at, Raw, async (s, frame) =>
        {
            sum += frame.Length;
            if (frame.Span[0] % 16 == 0)
                await Task.Yield();
            if (frame.Length == 1)
                await s.SendAsync(BitConverter.GetBytes(sum));
        });
        await using var client = await SocketClient.ConnectAsync(at, Raw);
        var (random, sent) = (new Random(8), 0L);
        for (var i = 0; i < Packets; i++)
        {
            var packet = new byte[2 + random.Next(i % 100 == 0 ? 150_000 : 2_000)];
            random.NextBytes(packet);
            sent += packet.Length;
            await client.SendAsync(packet);
        }

        await client.SendAsync(new byte[1]);
        Assert.Equal(sent + 1, BitConverter.ToInt64((await client.ReceiveAsync(Limits.Soon)).Span));
    }

    [Fact]
    public async Task A_frame_torn_at_a_packets_end_ends_the_connection_with_its_reason()
    {
        var at = Endpoint.Parse($"unixseq:@mortise-{Guid.NewGuid():N}");
        await using var server = SocketServer.Start(at, Codec.Lines(), (s, line) => s.SendAsync(line));
        await using var client = await SocketClient.ConnectAsync(at);
        await client.SendAsync("whole\ntorn"u8.ToArray());
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.UnexpectedEof) == 1, "not told");
    }

    [Fact]
    public async Task Half_a_close_lets_the_answer_come()
    {
        var at = Endpoint.Parse($"unixseq:@mortise-{Guid.NewGuid():N}");
        await using var server = SocketServer.Start(at, async c =>
        {
            var room = new byte[100];
            var bytes = 0;
            while (await c.ReceiveAsync(room) is var n and > 0)
                bytes += n;
            await c.SendAsync(BitConverter.GetBytes(bytes));
        });
        await using var client = await SocketClient.ConnectAsync(at);
        await client.SendAsync(new byte[33]);
        await client.SendAsync(new byte[11]);
        await client.ShutdownSendAsync();
        var answer = new byte[4];
        await client.ReceiveExactlyAsync(answer, Limits.Soon);
        Assert.Equal(44, BitConverter.ToInt32(answer));
        Assert.Equal(0, await client.ReceiveAsync(answer, Limits.Soon));
        Assert.Equal(Environment.ProcessId, client.GetPeerCredentials().ProcessId);
    }

    [Fact]
    public async Task Unix_datagrams_have_sessions_too()
    {
        var folder = Directory.CreateTempSubdirectory("packets-").FullName;
        var at = Endpoint.Parse($"unixgram:{folder}/gram");
        await using var server = SocketServer.Start(at, Codec.Lines(), (s, line) => s.SendAsync($"{line}{s.Id % 10}"),
            o => o.Transport.AllowAmplification = true);
        await using var a = await SocketClient.ConnectAsync(at, Codec.Lines());
        await using var b = await SocketClient.ConnectAsync(at, Codec.Lines());
        var answers = new HashSet<string>();
        for (var i = 0; i < 20; i++)
        {
            await a.SendAsync("a");
            await b.SendAsync("b");
            answers.Add(await a.ReceiveAsync(Limits.Soon));
            answers.Add(await b.ReceiveAsync(Limits.Soon));
        }

        Assert.Equal(["a", "b"], answers.Select(n => n[..1]).Order());
        Assert.Equal(2, server.Statistics.Accepted);
    }

    [Fact]
    public async Task A_Unix_peer_that_does_not_read_or_is_gone_stops_nobody()
    {
        var at = Endpoint.Parse($"unixgram:@mortise-{Guid.NewGuid():N}");
        await using var server = SocketServer.Start(at, Codec.Lines(), async (s, line) =>
        {
            s.Groups["all"].Add(s);
            if (line != "join")
                await s.Groups["all"].BroadcastAsync(line);
        }, o => o.Transport.AllowAmplification = true);
        // Takes part and never receives. Not connected: then the kernel bounds its queue, not the sender's memory.
        using var deaf = DatagramSocket.Bind(at.WithHost(at.Host + "-deaf"));
        await deaf.SendToAsync("join\n"u8.ToArray(), at, Limits.Soon);
        var gone = DatagramSocket.Connect(at);
        await gone.SendAsync("join\n"u8.ToArray(), Limits.Soon);
        await Limits.UntilAsync(() => server.Groups<string>()["all"].Count == 2, "they are not in the group");
        gone.Dispose();
        await using var alive = await SocketClient.ConnectAsync(at, Codec.Lines());
        for (var i = 0; i < 100; i++)
        {
            await alive.SendAsync($"{i}");
            Assert.Equal($"{i}", await alive.ReceiveAsync(Limits.Soon));
        }

        Assert.Equal(1, server.Statistics.Closed(CloseReason.Reset)); // who is gone
        Assert.InRange(server.Statistics.Dropped, 50, 100);           // what the deaf one had no room for
    }
}
