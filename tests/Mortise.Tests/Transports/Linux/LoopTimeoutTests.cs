using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Transports.Epoll;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>
/// The server's timeouts where connections live on loops: each wheel turns on its loop. And what a connection weighs.
/// </summary>
public sealed class LoopTimeoutTests
{
    private readonly ManualTime _time = new();

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Idle_peers_of_every_loop_are_let_go_and_busy_ones_are_not(EngineKind engine)
    {
        await using var server = Start(engine, c => c.Input.CopyToAsync(c.Output));
        var clients = await ConnectAsync(server, 8);
        Assert.Equal(2, server.Connections.Select(c => c.Home).Distinct().Count());
        await AdvanceAsync(server, 39);
        foreach (var busy in clients[..4])
        {
            await busy.SendAsync(new byte[1]);
            await busy.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        }

        await AdvanceAsync(server, 3);
        foreach (var idle in clients[4..])
            Assert.Equal(0, await idle.ReceiveAsync(new byte[1], Limits.Soon));
        await Task.WhenAll(clients[4..].Select(c => c.DisposeAsync().AsTask())).InTime();
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Idle) == 4, "not closed as idle");
        Assert.Equal(4, server.Connections.Count);
        await AdvanceAsync(server, 42);
        foreach (var busy in clients[..4])
            Assert.Equal(0, await busy.ReceiveAsync(new byte[1], Limits.Soon));
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_peer_that_takes_nothing_is_cut_off(EngineKind engine)
    {
        await using var server = Start(engine, c => c.SendAsync(new byte[32 << 20]).AsTask());
        var client = (await ConnectAsync(server, 1))[0];
        await Limits.UntilAsync(() => server.Connections is [{ BytesQueued: > 0 }], "nothing is queued");
        // The kernels' buffers fill in real time; the clock stands still until they are full.
        for (var sent = -1L; server.Connections is [var c] && sent != c.BytesSent; await Task.Delay(200))
            sent = c.BytesSent;
        await AdvanceAsync(server, 29);
        await Limits.UntilAsync(() => server.Statistics.Current == 1, "cut off early");
        await AdvanceAsync(server, 10);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.WriteStalled) == 1, "not write_stalled");
        client.Abort();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Nobody_is_let_go_for_the_time_that_a_loop_was_blocked(EngineKind engine)
    {
        using var release = new ManualResetEventSlim();
        var blocked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Start(engine, async c =>
        {
            var buffer = new byte[1];
            while (await c.ReceiveAsync(buffer) == 1)
            {
                if (buffer[0] == (byte)'!' && blocked.TrySetResult())
                    release.Wait(TimeSpan.FromSeconds(10));
                await c.SendAsync(buffer);
            }
        });
        var clients = await ConnectAsync(server, 4);
        await clients[0].SendAsync("!"u8.ToArray());
        await blocked.Task.InTime();
        for (var i = 0; i < 600; i++)
            _time.Advance(TimeSpan.FromSeconds(0.05));   // 30 s for those on the other loop, none for these
        foreach (var client in clients)
            await client.SendAsync("x"u8.ToArray());
        release.Set();
        foreach (var client in clients)
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        await AdvanceAsync(server, 39);
        Assert.Equal(4, server.Connections.Count);
        await AdvanceAsync(server, 3);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Idle) == 4, "idle ones are left");
        Assert.All(clients, c => c.Abort());
    }

    [Fact]
    public void A_connection_on_a_loop_weighs_at_most_640_bytes()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "loops are Linux's");
        var loop = new EventLoop("weighed", () => new EpollPoller());
        var options = new TransportOptions();
        Endpoint local = "tcp://127.0.0.1:1";
        byte[] peer = [127, 0, 0, 1];
        var kept = new Connection[1000];
        kept[0] = new LoopConnection(loop, -1, local, new Endpoint(EndpointKind.Tcp, peer, 2), options);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 1; i < kept.Length; i++)
            kept[i] = new LoopConnection(loop, -1, local, new Endpoint(EndpointKind.Tcp, peer, 2), options);
        var bytes = (GC.GetAllocatedBytesForCurrentThread() - before) / (kept.Length - 1);
        TestContext.Current.TestOutputHelper?.WriteLine($"{bytes} bytes");
        Assert.InRange(bytes, 1, 640);
        loop.Stop();
    }

    private SocketServer Start(EngineKind engine, Func<Connection, Task> handler) =>
        SocketServer.Start("tcp://127.0.0.1:0", handler, o =>
        {
            o.Transport.Set(engine);
            o.Transport.Time = _time;
            o.IdleTimeout = TimeSpan.FromSeconds(40);
            o.CloseLinger = TimeSpan.Zero;
        });

    private static async Task<Connection[]> ConnectAsync(SocketServer server, int count)
    {
        var clients = new Connection[count];
        for (var i = 0; i < count; i++)
            // On no loop: one that shares a loop with a blocked handler waits with it, and pairs upset the spread.
            clients[i] = await SocketClient.ConnectAsync(server.Endpoints[0],
                o => o.Transport.Engine = EngineKind.Managed);
        await Limits.UntilAsync(() => server.Connections.Count == count, "not accepted");
        return clients;
    }

    /// <summary>Second by second, and each has come to every loop before the next begins.</summary>
    private async Task AdvanceAsync(SocketServer server, int seconds)
    {
        var homes = server.Connections.DistinctBy(c => c.Home).ToArray();
        for (var i = 0; i < seconds; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.WhenAll(homes.Select(home =>
            {
                var arrived = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                home.Post(static a => ((TaskCompletionSource)a!).SetResult(), arrived);
                return arrived.Task;
            })).InTime();
        }
    }
}
