using Mortise.Tests.Conformance;
using Mortise.Tests.Server;
using Xunit;

namespace Mortise.Tests.Packets;

/// <summary>Whoever forges a sender makes us send a stranger no more than he sends himself.</summary>
public sealed class AmplificationTests
{
    private static readonly Endpoint Here = Endpoint.Parse("udp://127.0.0.1:0");
    private static readonly FrameCodec Raw = Codec.Frames(Framing.Parse("raw"));

    /// <summary>
    /// The attacker writes the victim's name on his datagrams: to the server they are the victim's. Here the victim's
    /// own socket sends them, and then counts what comes to it.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(40)]
    public async Task A_victim_gets_no_more_datagrams_and_bytes_than_were_sent_in_its_name(int requests)
    {
        var log = new WarningLog();
        await using var server = SocketServer.Start(Here, Raw, async (s, _) =>
        {
            for (var i = 0; i < 10; i++)
                await s.SendAsync(new byte[i == 0 ? 600 : 40]); // ten times more, and more often
        }, o => o.Logger = log);
        using var victim = DatagramSocket.Connect(server.Endpoints[0]);
        var asked = 0;
        for (var i = 0; i < requests; i++)
        {
            await victim.SendAsync(new byte[64], Limits.Soon);
            asked += 64;
        }

        await Limits.UntilAsync(() => server.Statistics.FramesReceived == requests, "not handled");
        await server.StopAsync(); // all that will be sent has been sent
        var (batch, datagrams, bytes) = (new DatagramBatch(), 0, 0);
        while (datagrams < requests)
        {
            if (datagrams > 0 && server.Statistics.BytesSent == bytes)
                break;
            datagrams += await victim.ReceiveBatchAsync(batch, Limits.Soon);
            bytes += batch.Sum(d => d.Length);
        }

        Assert.Equal(server.Statistics.BytesSent, bytes);
        Assert.InRange(datagrams, 1, requests);
        Assert.InRange(bytes, 1, asked);
        Assert.Equal(requests * 10 - datagrams, server.Statistics.Dropped);
        Assert.Single(log.Text.Split("ConfirmPeer")[1..]); // told once
    }

    [Fact]
    public async Task A_peer_that_was_confirmed_gets_all_of_it()
    {
        await using var server = SocketServer.Start(Here, Raw, async (s, frame) =>
        {
            if (frame.Length == 8 && frame.Span.SequenceEqual("12345678"u8))
                s.Connection.ConfirmPeer(); // it repeats what was sent to it
            await s.SendAsync("12345678"u8.ToArray());
            for (var i = 0; i < 5; i++)
                await s.SendAsync(new byte[1_000 + i]);
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Raw);
        await client.SendAsync(new byte[8]);
        Assert.Equal("12345678"u8.ToArray(), (await client.ReceiveAsync(Limits.Soon)).ToArray());
        await client.SendAsync("12345678"u8.ToArray());
        Assert.Equal("12345678"u8.ToArray(), (await client.ReceiveAsync(Limits.Soon)).ToArray());
        for (var i = 0; i < 5; i++)
            Assert.Equal(1_000 + i, (await client.ReceiveAsync(Limits.Soon)).Length);
        Assert.Equal(5, server.Statistics.Dropped);
    }

    [Fact]
    public async Task It_can_be_allowed()
    {
        await using var server = SocketServer.Start(Here, Raw, (s, _) => s.SendAsync(new byte[9_000]),
            o => o.Transport.AllowAmplification = true);
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Raw);
        await client.SendAsync(new byte[1]);
        Assert.Equal(9_000, (await client.ReceiveAsync(Limits.Soon)).Length);
    }
}
