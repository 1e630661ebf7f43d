using System.Buffers.Binary;
using System.Security.Cryptography;
using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>
/// The two contracts that `mortise explain tcp-vs-udp` prints, on real sockets: a stream brings all of it in order, a
/// datagram whole or not at all, and what is missing can be counted.
/// </summary>
public sealed class ContractTests
{
    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(60)).Token;

    [Fact]
    public async Task A_hundred_megabytes_over_TCP_have_the_same_hash()
    {
        const int Bytes = 100_000_000;
        var arrived = new TaskCompletionSource<(long, byte[])>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start([Endpoint.Parse("tcp://127.0.0.1:0")], async connection =>
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            while (true)
            {
                var read = await connection.Input.ReadAsync(_patience);
                foreach (var piece in read.Buffer)
                    hash.AppendData(piece.Span);
                connection.Input.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                    break;
            }

            arrived.TrySetResult((connection.BytesReceived, hash.GetHashAndReset()));
        });
        using var sent = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], cancellationToken: _patience);
        var (random, left) = (new Random(21), Bytes);
        while (left > 0)
        {
            var small = Math.Min(left, 1 + random.Next(100));
            var piece = client.Output.GetMemory(small)[..small]; // it may be no longer than what is asked for
            if (random.Next(2) == 0 && left > 65_536)
                piece = client.Output.GetMemory(65_536)[..random.Next(1, 65_536)];
            random.NextBytes(piece.Span);
            sent.AppendData(piece.Span);
            client.Output.Advance(piece.Length);
            left -= piece.Length;
            await client.Output.FlushAsync(_patience);
        }

        await client.Output.CompleteAsync();
        var (received, hashOfReceived) = await arrived.Task.WaitAsync(_patience);
        Assert.Equal(Bytes, received);
        Assert.Equal(sent.GetHashAndReset(), hashOfReceived);
        Row.Observed("A21", $"{Bytes / 1_000_000} MB random over TCP in pieces of 1 to 65,535 B: SHA-256 equal "
            + Convert.ToHexStringLower(hashOfReceived)[..16] + "…");
    }

    [Fact]
    public async Task Datagrams_through_a_lossy_network_are_whole_in_order_and_their_gaps_are_counted()
    {
        const int Sent = 1000;
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0", "--chaos",
            "loss=10%,seed=21", "--rcvbuf", "2MiB");
        await using var _ = server;
        using var client = DatagramSocket.Connect(endpoint, new() { ReceiveBufferBytes = 2 * 1024 * 1024 });
        var batch = new DatagramBatch(capacity: 100, datagramBytesMax: 16);
        for (var number = 0; number < Sent; number++)
        {
            BinaryPrimitives.WriteInt32LittleEndian(batch.Add(new byte[4]).Payload.Span, number);
            if (batch.Count < batch.Capacity)
                continue;
            Assert.Equal(batch.Count, await client.SendBatchAsync(batch, _patience));
            batch.Clear();
        }

        // The end is said until it comes back, for it may be lost as well; what was before it is then through.
        var (arrived, endsSent, endsBack) = (new List<int>(), 0, 0);
        while (endsBack == 0)
        {
            await client.SendAsync(default, _patience);
            endsSent++;
            using var soon = CancellationTokenSource.CreateLinkedTokenSource(_patience);
            soon.CancelAfter(TimeSpan.FromMilliseconds(200));
            try
            {
                while (endsBack == 0)
                {
                    await client.ReceiveBatchAsync(batch, soon.Token);
                    endsBack += batch.Count(d => d.Length == 0);
                    arrived.AddRange(batch.Where(d => d.Length == 4)
                        .Select(d => BinaryPrimitives.ReadInt32LittleEndian(d.Payload.Span)));
                }
            }
            catch (OperationCanceledException) when (!_patience.IsCancellationRequested)
            {
                // This one was lost; say it again.
            }
        }

        server.Signal("TERM");
        Assert.Equal(0, await server.ExitAsync());
        var end = await server.EventAsync("drained");
        var gaps = arrived.Prepend(-1).Zip(arrived.Append(Sent), (before, after) => after - before - 1).ToArray();
        Assert.All(gaps, gap => Assert.True(gap >= 0, "out of order or twice, which this network does not do"));
        Assert.Equal(Sent - arrived.Count, gaps.Sum());
        Assert.InRange(gaps.Sum(), 60, 140);   // 10 % of 1000, give or take four standard deviations
        Assert.Equal(0, end.GetProperty("drops").GetInt32());
        var lost = end.GetProperty("chaos_lost").GetInt32();
        Assert.InRange(lost - gaps.Sum(), 0, endsSent - endsBack);
        Row.Observed("A21", $"{Sent} numbered datagrams through serve echo --chaos loss=10%: {arrived.Count} back in "
            + $"order, {gaps.Count(g => g > 0)} gaps of {gaps.Sum()} in all; the server says chaos_lost {lost}");
    }

    [Fact]
    public async Task The_page_prints_both_contracts_side_by_side()
    {
        var page = await MortiseProcess.RunAsync(["explain", "tcp-vs-udp"]);
        Assert.Equal(0, page.ExitCode);
        foreach (var row in (string[])["order +as it was sent +any", "twice +never +possible",
            "boundaries +none: .+ +kept: 5 sends are 5 receives", "length +no limit +0 to 65,507 bytes"])
            Assert.Matches($"(?m)^  {row}", page.Output);
        Assert.All(page.Output.Split('\n'), line => Assert.InRange(line.Length, 0, 100));
        Row.Observed("A21", "explain tcp-vs-udp: " + page.Output);
    }
}
