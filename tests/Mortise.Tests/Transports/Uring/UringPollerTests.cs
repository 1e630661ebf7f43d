using System.Buffers;
using System.Diagnostics;
using System.Net.Sockets;
using Mortise.Transports.Loops;
using Mortise.Transports.Uring;
using Xunit;
using static Mortise.Tests.Transports.Uring.LoopOfTest;

namespace Mortise.Tests.Transports.Uring;

/// <summary>Connections on io_uring: bytes both ways, pauses, ends and errors, with real sockets and a real
/// loop.</summary>
public sealed class UringPollerTests
{
    [Fact]
    public async Task Bytes_come_and_go_whole_gathered_from_many_parts()
    {
        using var loop = new LoopOfTest();
        var (here, peer) = loop.Connect();
        var payload = Random(300_000, 1);
        var sending = loop.On(_ =>
        {
            foreach (var part in payload.Chunk(3001))
                here.Output.Write(part);
            return here.Output.FlushAsync().AsTask();
        });
        Assert.Equal(payload, await Task.Run(() => ReadExactly(peer, payload.Length)));
        await await sending;

        var reading = ReadAllAsync(here);
        peer.Send(payload);
        peer.Shutdown(SocketShutdown.Send);
        Assert.Equal(payload, await reading);
        await here.SendAsync(new byte[] { 1, 2, 3 });
        Assert.Equal([1, 2, 3], ReadExactly(peer, 3));
        await here.DisposeAsync();
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task A_stalled_reader_takes_a_part_and_the_rest_follows_when_it_reads()
    {
        using var loop = new LoopOfTest();
        var (here, peer) = loop.Connect();
        var payload = Random(16 << 20, 2);
        var sending = here.SendAsync(payload).AsTask();
        await StillAsync(() => here.BytesSent);
        Assert.False(sending.IsCompleted);
        Assert.InRange(here.BytesSent, 1, payload.Length - 1);
        Assert.Equal(payload, await Task.Run(() => ReadExactly(peer, payload.Length)));
        await sending.WaitAsync(Limit);
        here.Abort();
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task A_pause_holds_the_peers_bytes_in_the_kernel_until_it_ends()
    {
        using var loop = new LoopOfTest();
        var (here, peer) = loop.Connect();
        peer.Send([1]);
        Assert.True(SpinWait.SpinUntil(() => here.BytesReceived == 1, Limit));
        await loop.On(poller =>
        {
            poller.Pause(here);
            poller.Pause(here);
        });
        await Task.Delay(50);
        peer.Send([2, 3]);
        await StillAsync(() => here.BytesReceived);
        Assert.Equal(1, here.BytesReceived);
        await loop.On(poller =>
        {
            poller.Resume(here);
            poller.Resume(here);
        });
        Assert.True(SpinWait.SpinUntil(() => here.BytesReceived == 3, Limit));
        await loop.On(poller =>
        {
            poller.Pause(here);
            poller.Resume(here);
            poller.Pause(here);
            poller.Resume(here);
        });
        peer.Send([4]);
        Assert.True(SpinWait.SpinUntil(() => here.BytesReceived == 4, Limit));
        here.Abort();
        await loop.EmptyAsync();
    }

    [Theory]
    [InlineData(1, 1024u, 0u, 64, 1024)]
    [InlineData(2, 1024u, 0u, 4, 16)]
    [InlineData(3, 4u, 8u, 1, 2)]
    [InlineData(4, 2u, 4u, 2, 2)]
    public async Task A_storm_of_pauses_and_resumes_loses_no_byte(int seed, uint submissions, uint completions,
        int slots, int slotsMax)
    {
        using var loop = new LoopOfTest(() => new UringPoller(submissions, completions, slots, slotsMax));
        var random = new Random(seed);
        var pairs = loop.Connect(20);
        var payloads = pairs.Select((_, i) => Random(500_000 + random.Next(500_000), seed * 100 + i)).ToList();
        var reading = pairs.Select(p => ReadAllAsync(p.Here)).ToList();
        var sending = pairs.Select((p, i) => Task.Run(() => SendInPieces(p.Peer, payloads[i], seed + i))).ToList();
        while (!reading.All(r => r.IsCompleted))
        {
            // Asked in any order, between any two completions; at last everybody receives.
            await loop.On(poller =>
            {
                for (var i = 0; i < 30; i++)
                {
                    var here = pairs[random.Next(pairs.Count)].Here;
                    if (random.Next(2) == 0)
                        poller.Pause(here);
                    else
                        poller.Resume(here);
                }
            });
            await loop.On(poller => pairs.ForEach(p => poller.Resume(p.Here)));
        }
        for (var i = 0; i < pairs.Count; i++)
            AssertSame(payloads[i], await reading[i]);
        await Task.WhenAll(sending);
        foreach (var (here, _) in pairs)
            await here.DisposeAsync();
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task Leaving_is_told_once_whatever_was_under_way()
    {
        using var loop = new LoopOfTest();
        var pairs = loop.Connect(7);
        var (sending, ended, paused, pausing) = (pairs[1], pairs[2], pairs[3], pairs[4]);
        var stalled = sending.Here.SendAsync(Random(16 << 20, 3)).AsTask();
        await StillAsync(() => sending.Here.BytesSent);
        ended.Peer.Shutdown(SocketShutdown.Send);
        Assert.Empty(await ReadAllAsync(ended.Here));
        await loop.On(poller => poller.Pause(paused.Here));
        await Task.Delay(50);
        await loop.On(poller =>
        {
            poller.Pause(pausing.Here);
            pairs[5].Peer.Send(new byte[100]);
            foreach (var (here, _) in pairs)
            {
                here.Abort();
                here.Abort();
            }
        });
        await Assert.ThrowsAnyAsync<ConnectionException>(() => stalled.WaitAsync(Limit));
        foreach (var (_, peer) in pairs)
            Assert.True(IsOver(peer));
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task A_slot_and_a_descriptor_that_come_round_again_hear_nothing_of_the_former()
    {
        using var loop = new LoopOfTest();
        var random = new Random(5);
        var descriptors = new HashSet<int>();
        for (var round = 0; round < 200; round++)
        {
            var (first, second) = (loop.Connect(), loop.Connect());
            descriptors.Add(first.Here.Fd);
            first.Peer.Send([(byte)round]);
            if (random.Next(2) == 0)
                await first.Here.SendAsync(new byte[100]);
            if (random.Next(2) == 0)
                await loop.On(poller => poller.Pause(first.Here));
            if (random.Next(2) == 0)
                first.Peer.LingerState = new LingerOption(true, 0);
            if (random.Next(2) == 0)
                first.Peer.Close();
            first.Here.Abort();
            second.Peer.Send([7, (byte)round]);
            second.Peer.Shutdown(SocketShutdown.Send);
            Assert.Equal([7, (byte)round], await ReadAllAsync(second.Here));
            second.Here.Abort();
            first.Peer.Dispose();
            second.Peer.Dispose();
            Assert.True(SpinWait.SpinUntil(() => loop.Loop.Connections == 0, Limit));
        }
        Assert.InRange(descriptors.Count, 1, 100);
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task A_reset_while_sending_fails_the_send_and_ends_the_connection()
    {
        using var loop = new LoopOfTest();
        var (here, peer) = loop.Connect();
        var sending = here.SendAsync(Random(16 << 20, 4)).AsTask();
        await StillAsync(() => here.BytesSent);
        peer.LingerState = new LingerOption(true, 0);
        peer.Close();
        await Assert.ThrowsAnyAsync<ConnectionException>(() => sending.WaitAsync(Limit));
        await loop.EmptyAsync();
    }

    private static void SendInPieces(Socket peer, byte[] payload, int seed)
    {
        var random = new Random(seed);
        for (var at = 0; at < payload.Length;)
        {
            var bytes = Math.Min(payload.Length - at, 1 + random.Next(random.Next(2) == 0 ? 100 : 60_000));
            at += peer.Send(payload.AsSpan(at, bytes));
        }
        peer.Shutdown(SocketShutdown.Send);
    }

    /// <summary>Waits until a number has begun to move and does not move any more.</summary>
    private static async Task StillAsync(Func<long> number)
    {
        var clock = Stopwatch.StartNew();
        for (var (last, same) = (-1L, 0); same < 10; await Task.Delay(20))
        {
            Assert.True(clock.Elapsed < Limit, "it moves on and on");
            var now = number();
            same = now == last && now > 0 ? same + 1 : 0;
            last = now;
        }
    }

    private static bool IsOver(Socket peer)
    {
        try
        {
            var scrap = new byte[1 << 20];
            while (peer.Receive(scrap) > 0)
                continue;
            return true;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return true;
        }
    }
}
