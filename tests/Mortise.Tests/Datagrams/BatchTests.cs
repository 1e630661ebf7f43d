using System.Text;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>Many datagrams with one call: nothing that holds for one datagram is lost.</summary>
public sealed class BatchTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("udp://127.0.0.1:0");

    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(10)).Token;

    [Fact]
    public async Task A_hundred_datagrams_come_and_go_in_two_batches()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        var outgoing = new DatagramBatch(capacity: 100, datagramBytesMax: 16);
        for (var i = 0; i < 100; i++)
            outgoing.Add(Encoding.ASCII.GetBytes($"number {i}"));
        Assert.Equal(100, await client.SendBatchAsync(outgoing, _patience));

        var incoming = new DatagramBatch(capacity: 64, datagramBytesMax: 16);
        var texts = new List<string>();
        foreach (var expected in OperatingSystem.IsLinux() ? (int[])[64, 36] : Enumerable.Repeat(1, 100))
        {
            Assert.Equal(expected, await server.ReceiveBatchAsync(incoming, _patience));
            Assert.Equal(expected, incoming.Count);
            Assert.All(incoming, d => Assert.Equal((client.LocalEndpoint, server.LocalEndpoint), (d.Peer, d.Local)));
            texts.AddRange(incoming.Select(Text));
        }

        Assert.Equal(Enumerable.Range(0, 100).Select(i => $"number {i}"), texts);
    }

    /// <summary>For any senders, sizes and interleaving: each hears its own, in order, and no other.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Interleaved_senders_get_only_their_own_replies(int seed)
    {
        var random = new Random(seed);
        using var server = DatagramSocket.Bind(AnyPort);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(_patience);
        var echoing = EchoAsync(server, new DatagramBatch(random.Next(1, 40), 2048), stop.Token);
        var clients = Enumerable.Range(0, random.Next(2, 12))
            .Select(_ => DatagramSocket.Connect(server.LocalEndpoint)).ToArray();
        var sent = clients.Select(_ => new Queue<byte[]>()).ToArray();
        var buffer = new byte[2048];
        for (var round = 0; round < 300; round++)
        {
            var who = random.Next(clients.Length);
            var message = new byte[random.Next(3) == 0 ? 0 : random.Next(1, 2048)];
            random.NextBytes(message);
            sent[who].Enqueue(message);
            await clients[who].SendAsync(message, _patience);
            // Never so many on the way that the kernel has to drop some: that would be no fault of ours.
            while (sent.Sum(s => s.Count) > 40)
                await HearAsync(random.Next(clients.Length));
        }

        for (var who = 0; who < clients.Length; who++)
            while (sent[who].Count > 0)
                await HearAsync(who);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => echoing);
        Array.ForEach(clients, c => c.Dispose());

        async Task HearAsync(int who)
        {
            if (!sent[who].TryDequeue(out var expected))
                return;
            var got = await clients[who].ReceiveAsync(buffer, _patience);
            Assert.Equal(expected, buffer[..got.Length]);
        }
    }

    [Fact]
    public async Task Boundaries_empty_datagrams_and_cuts_are_told()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        int[] lengths = [3, 0, 100, 10, 0];
        foreach (var length in lengths)
            await client.SendAsync(new byte[length], _patience);
        var batch = new DatagramBatch(capacity: 8, datagramBytesMax: 10);
        var got = new List<(int, bool)>();
        while (got.Count < lengths.Length)
        {
            await server.ReceiveBatchAsync(batch, _patience);
            got.AddRange(batch.Select(d => (d.Length, d.Truncated)));
        }

        Assert.Equal([(3, false), (0, false), (10, true), (10, false), (0, false)], got);
        Row.Observed("I18", "recvmmsg: a 100 B datagram in a 10 B buffer gave Length 10 and Truncated; the next, of 10 "
            + "B, is whole");
        Row.Observed("I19", "lengths 0 among others arrive as datagrams of Length 0, and the batch goes on");
    }

    [Fact]
    public async Task A_datagram_that_is_too_long_stays_with_its_number_and_the_others_go()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var sender = DatagramSocket.Bind(AnyPort);
        var outgoing = new DatagramBatch(capacity: 3, datagramBytesMax: 70_000);
        outgoing.Add("before"u8, server.LocalEndpoint);
        outgoing.Add(new byte[65_508], server.LocalEndpoint);
        outgoing.Add("after"u8, server.LocalEndpoint);
        Assert.Equal(2, await sender.SendBatchAsync(outgoing, _patience));
        Assert.Equal([null, "EMSGSIZE", null], outgoing.Select(d => d.Failure?.Symbol));
        Assert.Contains("65508 bytes, and one datagram carries at most 65507", outgoing[1].Failure!.Message);

        var incoming = new DatagramBatch();
        var texts = new List<string>();
        while (texts.Count < 2)
        {
            await server.ReceiveBatchAsync(incoming, _patience);
            texts.AddRange(incoming.Select(Text));
        }

        Assert.Equal(["before", "after"], texts);
        outgoing[1].Length = 65_507;
        Assert.Equal(3, await sender.SendBatchAsync(outgoing, _patience));
        Assert.Null(outgoing[1].Failure);
    }

    [Fact]
    public async Task A_sent_batch_goes_again_to_others_without_new_memory()
    {
        using var first = DatagramSocket.Bind(AnyPort);
        using var second = DatagramSocket.Bind(AnyPort);
        using var sender = DatagramSocket.Bind(AnyPort);
        var batch = new DatagramBatch(capacity: 2, datagramBytesMax: 8);
        batch.Add("news"u8, first.LocalEndpoint);
        batch.Add("more"u8, first.LocalEndpoint);
        Assert.Equal(2, await sender.SendBatchAsync(batch, _patience));
        batch[1].Peer = second.LocalEndpoint;
        batch.RemoveAt(0);
        Assert.Equal(1, await sender.SendBatchAsync(batch, _patience));
        var buffer = new byte[8];
        Assert.Equal(4, (await second.ReceiveAsync(buffer, _patience)).Length);
        Assert.Equal("more"u8.ToArray(), buffer[..4]);
        Assert.Null(batch[0].Local);
    }

    [Fact]
    public void Numbers_outside_their_range_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new DatagramBatch(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DatagramBatch(1025));
        Assert.Throws<ArgumentOutOfRangeException>(() => new DatagramBatch(1, -1));
        var batch = new DatagramBatch(1, 4);
        Assert.Throws<ArgumentOutOfRangeException>(() => batch[0]);
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.RemoveAt(0));
        Assert.Throws<ArgumentOutOfRangeException>(() => batch.Add("hello"u8));
        var datagram = batch.Add("four"u8);
        Assert.Throws<InvalidOperationException>(() => batch.Add("more"u8));
        Assert.Throws<ArgumentOutOfRangeException>(() => datagram.Length = 5);
        batch.Clear();
        Assert.Empty(batch);
    }

    private static async Task EchoAsync(DatagramSocket server, DatagramBatch batch, CancellationToken stop)
    {
        while (true)
        {
            var received = await server.ReceiveBatchAsync(batch, stop);
            Assert.Equal(received, await server.SendBatchAsync(batch, stop));
        }
    }

    private static string Text(Datagram datagram) => Encoding.ASCII.GetString(datagram.Payload.Span);
}
