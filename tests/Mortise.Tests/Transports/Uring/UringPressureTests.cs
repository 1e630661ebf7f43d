using System.Net;
using System.Net.Sockets;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using Mortise.Transports.Uring;
using Xunit;
using static Mortise.Tests.Transports.Uring.LoopOfTest;

namespace Mortise.Tests.Transports.Uring;

/// <summary>io_uring when something runs out, and when it ends while everything is armed.</summary>
public sealed class UringPressureTests
{
    [Fact]
    public async Task Too_few_buffers_starve_nobody_and_spin_nowhere()
    {
        const int Bytes = 200_000, Connections = 50;
        using var loop = new LoopOfTest(() => new UringPoller(slotsStart: 1, slotsMax: 2));
        var pairs = loop.Connect(Connections);
        var payloads = pairs.Select((_, i) => Random(Bytes, i)).ToList();
        var turns = loop.Loop.Turns;
        var sending = pairs.Select((p, i) => Task.Run(() =>
        {
            p.Peer.Send(payloads[i]);
            p.Peer.Shutdown(SocketShutdown.Send);
        })).ToList();
        var reading = pairs.Select(p => ReadAllAsync(p.Here)).ToList();
        await Task.WhenAll(sending).WaitAsync(Limit);
        for (var i = 0; i < Connections; i++)
            AssertSame(payloads[i], await reading[i]);
        Assert.InRange(loop.Loop.Turns - turns, 1, Connections * Bytes / 500);

        // Nothing is armed in vain once it is quiet: a loop that spins makes 100,000 turns, a signal ends a wait.
        await loop.On(_ => { });
        var quiet = loop.Loop.Turns;
        await Task.Delay(100);
        Assert.InRange(loop.Loop.Turns - quiet, 0, 100);
        foreach (var (here, _) in pairs)
            await here.DisposeAsync();
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task More_news_than_the_completion_queue_holds_reaches_everybody()
    {
        using var loop = new LoopOfTest(() => new UringPoller(submissions: 4, completions: 8));
        var pairs = loop.Connect(100);
        for (var round = 1; round <= 20; round++)
        {
            // The loop stands still meanwhile, so that all of it is news of one turn.
            await loop.On(_ =>
            {
                foreach (var (here, peer) in pairs)
                {
                    peer.Send([(byte)round, 2, 3]);
                    here.Output.WriteAsync(new byte[] { (byte)round });
                }
            });
            Assert.True(SpinWait.SpinUntil(() => pairs.All(p => p.Here.BytesReceived == 3 * round), Limit));
        }
        foreach (var (here, peer) in pairs)
        {
            Assert.Equal(Enumerable.Range(1, 20).Select(n => (byte)n), ReadExactly(peer, 20));
            peer.Shutdown(SocketShutdown.Send);
            Assert.Equal(60, (await ReadAllAsync(here)).Length);
            await here.DisposeAsync();
        }
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task More_gathered_sends_in_a_turn_than_there_is_room_for_their_lists_all_leave()
    {
        using var loop = new LoopOfTest();
        var pairs = loop.Connect(100);
        var payload = Random(60 * BlockPool.SmallBytes, 1);
        await loop.On(_ =>
        {
            foreach (var (here, _) in pairs)
            {
                foreach (var part in payload.Chunk(BlockPool.SmallBytes))
                {
                    part.CopyTo(here.Output.GetSpan(BlockPool.SmallBytes));
                    here.Output.Advance(part.Length);
                }
                here.Output.FlushAsync();
            }
        });
        foreach (var (here, peer) in pairs)
        {
            Assert.Equal(payload, ReadExactly(peer, payload.Length));
            here.Abort();
        }
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task A_watch_is_told_of_every_new_client_and_removed_it_lets_go()
    {
        using var loop = new LoopOfTest();
        var listener = Listen();
        var watch = new WatchOfTest((int)listener.Handle, () => listener.Accept().Dispose());
        await loop.On(poller => poller.Add(watch));
        for (var i = 1; i <= 20; i++)
        {
            using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(listener.LocalEndPoint!);
            Assert.True(SpinWait.SpinUntil(() => watch.Accepted >= i, Limit));
        }
        await loop.On(poller =>
        {
            poller.Remove(watch);
            poller.Remove(watch);
        });
        Assert.True(SpinWait.SpinUntil(() => watch.Removed > 0, Limit));
        var endpoint = listener.LocalEndPoint!;
        listener.Close();
        AssertRefused(endpoint);
        Assert.Equal(1, watch.Removed);
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task Every_post_wakes_a_loop_that_sleeps()
    {
        using var loop = new LoopOfTest();
        for (var i = 0; i < 2000; i++)
            Assert.Equal(i, await loop.On(_ => i));
        await loop.EmptyAsync();
    }

    [Fact]
    public async Task Stopped_while_everything_is_armed_it_lets_go_of_everything()
    {
        using var loop = new LoopOfTest();
        var listener = Listen();
        var watch = new WatchOfTest((int)listener.Handle, () => listener.Accept().Dispose());
        await loop.On(poller => poller.Add(watch));
        var pairs = loop.Connect(30);
        for (var i = 0; i < 30; i++)
        {
            var here = pairs[i].Here;
            if (i % 2 == 0)
                _ = here.SendAsync(Random(4 << 20, i)).AsTask();
            if (i % 3 == 0)
                await loop.On(poller => poller.Pause(here));
            pairs[i].Peer.Send(new byte[100]);
        }
        var sockets = pairs.Select(p => (p.Here.Fd, Socket: SocketOf(p.Here.Fd))).ToList();
        Assert.All(sockets, s => Assert.StartsWith("socket:", s.Socket));
        loop.Loop.Stop();
        Assert.Equal((0, 1), (loop.Loop.Connections, watch.Removed));
        var endpoint = listener.LocalEndPoint!;
        listener.Close();
        AssertRefused(endpoint);
        // The number may be another test's by now, the socket may not.
        Assert.All(sockets, s => Assert.NotEqual(s.Socket, SocketOf(s.Fd)));
    }

    private static string? SocketOf(int fd) => new FileInfo($"/proc/self/fd/{fd}").LinkTarget;

    private static Socket Listen()
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(50);
        listener.Blocking = false;
        return listener;
    }

    private sealed class WatchOfTest(int fd, Action ready) : Watch(fd)
    {
        public int Accepted { get; private set; }

        public int Removed { get; private set; }

        public override void OnReady()
        {
            try
            {
                while (Removed == 0)
                {
                    ready();
                    Accepted++;
                }
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                // Nobody more waits.
            }
        }

        public override void OnRemoved() => Removed++;
    }
}
