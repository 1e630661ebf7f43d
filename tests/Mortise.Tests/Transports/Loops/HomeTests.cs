using System.Collections.Concurrent;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Where code runs: a handler stays at home on its loop, and nobody else ever runs there.</summary>
[Collection("alone")]
public sealed class HomeTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Every_await_of_a_handler_comes_back_to_its_loop(EngineKind engine)
    {
        var seen = new ConcurrentQueue<(string What, int Thread, string? Name)>();
        void Note(string what) => seen.Enqueue((what, Environment.CurrentManagedThreadId, Thread.CurrentThread.Name));
        await using var server = Served.Start(engine, async c =>
        {
            Note("start");
            await Task.Delay(5);
            Note("delay");
            await Task.Run(() => Assert.False(Served.IsLoopThread));
            Note("pool");
            await File.ReadAllBytesAsync("/proc/self/status");
            Note("file");
            await Task.Yield();
            Note("yield");
            await c.ReceiveExactlyAsync(new byte[2]);
            Note("receive");
            await c.SendAsync(new byte[100_000]);
            Note("send");
            await using var other = await SocketClient.ConnectAsync(c.LocalEndpoint,
                o => o.Transport.Engine = EngineKind.Managed);
            other.Abort();
            Note("connect");
        }, o => o.MaxConnections = 1);
        await using var client = await server.ConnectAsync();
        await client.SendAsync(new byte[1]);
        await Limits.UntilAsync(() => seen.Count == 5, "not there yet");
        await client.SendAsync(new byte[1]);
        Assert.Equal(100_000, (await Limits.ReadToEndAsync(client)).Length);
        await server.SuspendAsync();
        Assert.Equal(["start", "delay", "pool", "file", "yield", "receive", "send", "connect"],
            seen.Select(s => s.What).Take(8));
        Assert.Single(seen.Take(8).Select(s => s.Thread).Distinct());
        Assert.Matches("^mortise-loop-[12]$", seen.First().Name);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_handler_of_messages_is_at_home_also_after_one_that_waited(EngineKind engine)
    {
        var threads = new ConcurrentQueue<string?>();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), async (s, line) =>
        {
            threads.Enqueue(Thread.CurrentThread.Name);
            if (line == "wait")
                await Task.Delay(5);
            await s.SendAsync(line);
        }, o => o.Transport.Set(engine));
        await using var client = await server.ConnectAsync();
        await client.SendAsync("wait\ngo\nwait\nwait\ngo\n"u8.ToArray());
        await client.ShutdownSendAsync();
        Assert.Equal(21, (await Limits.ReadToEndAsync(client)).Length);
        Assert.Equal(5, threads.Count);
        Assert.Matches("^mortise-loop-[12]$", Assert.Single(threads.Distinct()));
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task On_the_thread_pool_a_handler_never_meets_a_loop(EngineKind engine)
    {
        var onLoop = 0;
        void Note() => Interlocked.Add(ref onLoop, Served.IsLoopThread ? 1 : 0);
        await using var server = Served.Start(engine, async c =>
        {
            Note();
            using var over = c.Closed.Register(Note);
            await c.ReceiveExactlyAsync(new byte[1]);
            Note();
            await c.Output.WriteAsync(new byte[300_000]);
            Note();
            await c.Input.ReadAsync(Limits.Soon);
            Note();
            Assert.Equal(1, c.Receive(new byte[1], Limits.Time));
            await c.ShutdownSendAsync();
            Note();
            await c.CloseAsync(CloseReason.Local, Limits.Time, Limits.Time);
            Note();
        }, o => o.Dispatch = Dispatch.ThreadPool);
        for (var i = 0; i < 20; i++)
        {
            await using var client = await server.ConnectAsync();
            await client.SendAsync(new byte[1]);
            await client.ReceiveExactlyAsync(new byte[300_000], Limits.Soon);
            await client.SendAsync(new byte[1]);
            await Limits.ReadToEndAsync(client);
        }

        await Limits.UntilAsync(() => server.Statistics.Current == 0, "handlers are left");
        Assert.Equal(0, server.Statistics.HandlerFaults);
        Assert.Equal(0, onLoop);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_call_that_blocks_on_its_own_loop_is_refused_with_a_reason(EngineKind engine)
    {
        var refused = new TaskCompletionSource<string>();
        await using var server = Served.Start(engine, c =>
        {
            var receive = Assert.Throws<InvalidOperationException>(() => c.Receive(new byte[1], Limits.Time));
            var send = Assert.Throws<InvalidOperationException>(() => c.Send(new byte[1], Limits.Time));
            refused.SetResult(receive.Message + send.Message);
            return Task.CompletedTask;
        });
        await using var client = await server.ConnectAsync();
        var message = await refused.Task.InTime();
        Assert.Contains("await the call", message, StringComparison.Ordinal);
        Assert.Contains("Dispatch.ThreadPool", message, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Clients_and_bare_listeners_go_on_off_the_loops(EngineKind engine)
    {
        var options = new TransportOptions();
        options.Set(engine);
        var onLoop = new ConcurrentQueue<string>();
        void Note(string what)
        {
            if (Served.IsLoopThread)
                onLoop.Enqueue(what);
        }

        using var listener = SocketServer.Listen("tcp://127.0.0.1:0", options);
        for (var i = 0; i < 50; i++)
            await Task.Run(MeetAsync);
        Assert.Empty(onLoop.Distinct());

        async Task MeetAsync()
        {
            var accepting = listener.AcceptAsync(Limits.Soon).ConfigureAwait(false);
            var client = await SocketClient.ConnectAsync(listener.Endpoint, o => o.Transport.Set(engine))
                .ConfigureAwait(false);
            Note("connect");
            var server = await accepting;
            Note("accept");
            var clientOver = OverAsync(client, "client's Closed");
            var serverOver = OverAsync(server, "server's Closed");
            await Task.WhenAll(EchoAsync(server), TalkAsync(client)).ConfigureAwait(false);
            Note("both");
            await server.CloseAsync(CloseReason.Local, Limits.Time, Limits.Time).ConfigureAwait(false);
            Note("close");
            await client.DisposeAsync().ConfigureAwait(false);
            Note("dispose");
            await Task.WhenAll(clientOver, serverOver).InTime();
        }

        async Task OverAsync(Connection connection, string what)
        {
            try
            {
                await Task.Delay(Timeout.Infinite, connection.Closed).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                Note(what);
            }
        }

        async Task EchoAsync(Connection server)
        {
            await server.Input.CopyToAsync(server.Output).ConfigureAwait(false);
            Note("copy");
            await server.ShutdownSendAsync().ConfigureAwait(false);
            Note("server's shutdown");
        }

        async Task TalkAsync(Connection client)
        {
            await client.SendAsync(new byte[200_000]).ConfigureAwait(false);
            Note("send");
            await client.ReceiveExactlyAsync(new byte[200_000], Limits.Soon).ConfigureAwait(false);
            Note("receive");
            await client.ShutdownSendAsync().ConfigureAwait(false);
            Note("shutdown");
            Assert.Equal(0, await client.ReceiveAsync(new byte[1]).ConfigureAwait(false));
            Note("end");
        }
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Who_closes_a_handlers_connection_from_elsewhere_stays_elsewhere(EngineKind engine)
    {
        await using var server = Served.Start(engine, c => c.Input.CopyToAsync(c.Output));
        var onLoop = 0;
        for (var i = 0; i < 50; i++)
        {
            await using var client = await server.ConnectAsync();
            await client.SendAsync(new byte[1]);
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            var there = (LoopConnection)server.Connections[^1];
            Task closing;
            using (there.Loop.Hold())
                closing = CloseAsync(there);
            await closing.InTime();
        }

        Assert.Equal(0, onLoop);

        async Task CloseAsync(Connection there)
        {
            await there.CloseAsync(CloseReason.Local, Limits.Time, TimeSpan.Zero).ConfigureAwait(false);
            onLoop += Served.IsLoopThread ? 1 : 0;
        }
    }
}
