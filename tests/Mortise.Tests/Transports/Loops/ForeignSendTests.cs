using System.IO.Pipelines;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Epoll;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using Mortise.Transports.Uring;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Sending to a connection from threads that are not its loop.</summary>
[Collection("alone")]
public sealed class ForeignSendTests
{
    private const int Senders = 8, Messages = 4_000;

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Eight_threads_and_the_handler_tear_and_lose_nothing_and_keep_their_order(EngineKind engine)
    {
        var begun = new TaskCompletionSource<Session<string>>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), async (s, line) =>
        {
            begun.TrySetResult(s);
            await s.SendAsync(line);
        }, o => o.Transport.Set(engine));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines(),
            o => o.Transport.Engine = EngineKind.Managed);
        await client.SendAsync("0 0 ");
        var there = await begun.Task.InTime();
        there.QueueBytesMax = long.MaxValue;
        Assert.Equal("0 0 ", await client.ReceiveAsync(Limits.Soon));
        var senders = Enumerable.Range(1, Senders).Select(n => new Thread(() => SendAll(there, n))).ToList();
        senders.ForEach(s => s.Start());
        var echoes = Task.Run(async () =>
        {
            for (var i = 1; i < Messages; i++)
                await client.SendAsync($"0 {i} ");
        });
        var next = new int[Senders + 1];
        next[0] = 1;
        for (var left = Senders * Messages + Messages - 1; left > 0; left--)
        {
            var words = (await client.ReceiveAsync(Limits.Soon)).Split(' ');
            var (from, number) = (int.Parse(words[0]), int.Parse(words[1]));
            Assert.Equal(next[from]++, number);
            Assert.Equal(from == 0 ? 0 : number % 300, words[2].Length);
        }

        senders.ForEach(s => Assert.True(s.Join(Limits.Time)));
        await echoes.InTime();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_writer_elsewhere_fills_lent_memory_and_flushes_in_order(EngineKind engine)
    {
        await using var server = Served.Start(engine, async c =>
        {
            for (var i = 0; i < 5_000; i++)
            {
                BitConverter.TryWriteBytes(c.Output.GetSpan(4 + i % 5_000), i);
                c.Output.Advance(4);
                if (i % 7 == 0)
                    await c.Output.FlushAsync();
            }

            await c.Output.FlushAsync();
        }, o => o.Dispatch = Dispatch.ThreadPool);
        await using var client = await server.ConnectAsync();
        AssertCounts(await Limits.ReadToEndAsync(client), 5_000);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Bytes_not_flushed_keep_their_order_from_loop_to_pool_and_back(EngineKind engine)
    {
        await using var server = Served.Start(engine, async c =>
        {
            for (var i = 0; i < 2_000;)
            {
                Put(c.Output, i++);
                await Task.Run(() => Put(c.Output, i++));
                Put(c.Output, i++);
                await c.Output.WriteAsync(BitConverter.GetBytes(i++));
                await Task.Run(async () => await c.Output.WriteAsync(BitConverter.GetBytes(i++)));
            }
        });
        await using var client = await server.ConnectAsync();
        AssertCounts(await Limits.ReadToEndAsync(client), 2_000);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_burst_does_not_wake_a_loop_that_is_awake(EngineKind engine)
    {
        CountingPoller poller = null!;
        var loop = new EventLoop("test", () => poller = new CountingPoller(
            engine == EngineKind.Epoll ? new EpollPoller() : new UringPoller()));
        var ran = 0;
        using (loop.Hold())
        {
            poller.Wakes = 0;
            for (var i = 0; i < 1_000; i++)
                loop.Post(_ => ran++, null);
            Assert.Equal(0, poller.Wakes);
        }

        await Limits.UntilAsync(() => ran == 1_000 && !loop.IsBusy, "posts were lost");
        Assert.Equal(0, poller.Wakes);
        loop.Post(_ => ran++, null);
        await Limits.UntilAsync(() => ran == 1_001, "it was not woken");
        Assert.Equal(1, poller.Wakes);
        loop.Stop();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_writer_elsewhere_whose_connection_ends_under_it_is_told_so_and_leaves_no_buffer(
        EngineKind engine)
    {
        var before = BlockPool.Shared.Outstanding;
        var faults = new List<Exception>();
        await using (var server = Served.Start(engine, c =>
        {
            try
            {
                c.Receive(new byte[1], Limits.Time);
                for (var i = 0; ; i++)
                {
                    c.Output.GetSpan(100)[..100].Clear();
                    if (i == 10)
                        c.Abort();
                    if (i > 10)
                        Thread.SpinWait(i * 10);
                    c.Output.Advance(100);
                }
            }
            catch (ConnectionException)
            {
                // What it should be told.
            }
            catch (Exception e)
            {
                lock (faults)
                    faults.Add(e);
            }

            return Task.CompletedTask;
        }, o => o.Dispatch = Dispatch.ThreadPool))
        {
            for (var i = 0; i < 200; i++)
            {
                await using var client = await server.ConnectAsync();
                await client.SendAsync(new byte[1]);
                await Record.ExceptionAsync(() => Limits.ReadToEndAsync(client));
            }
        }

        Assert.Empty(faults);
        await Limits.UntilAsync(() => BlockPool.Shared.Outstanding <= before,
            $"{BlockPool.Shared.Outstanding - before} buffers are left");
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Lent_memory_may_be_advanced_after_the_end(EngineKind engine)
    {
        var before = BlockPool.Shared.Outstanding;
        await using (var server = Served.Start(engine, async c =>
        {
            await c.ReceiveAsync(new byte[1]);
            c.Output.GetSpan(100)[..100].Clear();
            using var over = new ManualResetEventSlim();
            using (c.Closed.Register(over.Set))
            {
                c.Abort();
                Assert.True(over.Wait(Limits.Time));
            }

            c.Output.Advance(100);
            await Assert.ThrowsAsync<ConnectionException>(async () => await c.Output.FlushAsync());
        }, o => o.Dispatch = Dispatch.ThreadPool))
        {
            await using var client = await server.ConnectAsync();
            await client.SendAsync(new byte[1]);
            await Record.ExceptionAsync(() => Limits.ReadToEndAsync(client));
            await Limits.UntilAsync(() => server.Statistics.Current == 0, "left");
            Assert.Equal(0, server.Statistics.HandlerFaults);
        }

        await Limits.UntilAsync(() => BlockPool.Shared.Outstanding <= before, "a buffer is left");
    }

    private static void SendAll(Session<string> to, int sender)
    {
        for (var i = 0; i < Messages; i++)
        {
            var line = $"{sender} {i} {new string('x', i % 300)}";
            if (sender % 2 == 0)
                Assert.True(to.TrySend(line));
            else
                to.SendAsync(line).AsTask().Wait(Limits.Time);
        }
    }

    private static void Put(PipeWriter writer, int number)
    {
        BitConverter.TryWriteBytes(writer.GetSpan(4), number);
        writer.Advance(4);
    }

    private static void AssertCounts(byte[] bytes, int count)
    {
        Assert.Equal(4 * count, bytes.Length);
        for (var i = 0; i < count; i++)
            Assert.Equal(i, BitConverter.ToInt32(bytes, 4 * i));
    }

    private sealed class CountingPoller(Poller real) : Poller
    {
        public int Wakes;

        public override int Attached => real.Attached;

        public override void Wait(bool mayBlock) => real.Wait(mayBlock);

        public override void Wake()
        {
            Interlocked.Increment(ref Wakes);
            real.Wake();
        }

        public override void Add(Watch watch) => real.Add(watch);

        public override void Remove(Watch watch) => real.Remove(watch);

        public override void Attach(LoopConnection connection) => real.Attach(connection);

        public override void Pause(LoopConnection connection) => real.Pause(connection);

        public override void Resume(LoopConnection connection) => real.Resume(connection);

        public override void Send(LoopConnection connection) => real.Send(connection);

        public override void Detach(LoopConnection connection) => real.Detach(connection);

        public override void Dispose() => real.Dispose();
    }
}
