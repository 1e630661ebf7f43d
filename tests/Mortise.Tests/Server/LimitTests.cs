using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>Who may come in and how long one may stay; all times by a clock that the test moves.</summary>
[Collection("alone")]
public sealed class LimitTests
{
    private static readonly Endpoint Place = Endpoint.Parse("mem:limits");

    private readonly ManualTime _time = new();
    private readonly MemoryNetwork _network = new();

    [Theory, InlineData(1), InlineData(7)]
    public async Task The_limit_holds_exactly_while_clients_race(int limit)
    {
        var now = 0;
        var most = 0;
        var served = 0;
        await using var server = SocketServer.Start([Endpoint.Parse("tcp://127.0.0.1:0"),
            Endpoint.Parse("tcp://127.0.0.1:0")], async c =>
        {
            InterlockedMax(ref most, Interlocked.Increment(ref now));
            await c.SendAsync(new byte[1]);
            await c.ReceiveAsync(new byte[1]);
            Interlocked.Decrement(ref now);
            Interlocked.Increment(ref served);
        }, o => o.MaxConnections = limit);
        var largest = 0L;
        await Task.WhenAll(Enumerable.Range(0, 60).Select(i => Task.Run(async () =>
        {
            await using var client = await SocketClient.ConnectAsync(server.Endpoints[i % 2]);
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            largest = Math.Max(largest, server.Statistics.Current);
            await client.SendAsync(new byte[1]);
        }))).InTime();
        Assert.InRange(most, 1, limit);
        Assert.InRange(largest, 1, limit);
        await Limits.UntilAsync(() => served == 60, $"only {served} of 60 were served");
    }

    [Fact]
    public async Task No_address_gets_more_than_its_share()
    {
        await using var server = SocketServer.Start(Endpoint.Parse("tcp://0.0.0.0:0"), async c =>
        {
            await c.SendAsync(new byte[1]);
            await c.ReceiveAsync(new byte[1]);
        }, o => o.MaxConnectionsPerAddress = 3);
        var port = server.Endpoints[0].Port;
        var inside = await Task.WhenAll(Enumerable.Range(0, 20).Select(i => TryEnterAsync("127.0.0.2", port)));
        var other = await TryEnterAsync("127.0.0.3", port);
        Assert.Equal(3, inside.Count(c => c is not null));
        Assert.NotNull(other);
        Assert.Equal(17, server.Statistics.Rejected);
        foreach (var client in inside)
            client?.Abort();
        await Limits.UntilAsync(() => server.Statistics.Current == 1, "the places were not given back");
        Assert.NotNull(await TryEnterAsync("127.0.0.2", port));
    }

    [Fact]
    public async Task An_idle_peer_is_let_go_after_exactly_its_time()
    {
        await using var server = Start(c => c.Input.CopyToAsync(c.Output),
            o => o.IdleTimeout = TimeSpan.FromSeconds(40));
        var client = await ConnectAsync();
        await Limits.UntilAsync(() => server.Connections.Count == 1, "not accepted");
        await AdvanceAsync(30, () => server.Statistics.Current == 1);
        await client.SendAsync(new byte[1]);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        await AdvanceAsync(39, () => server.Statistics.Current == 1);
        await AdvanceAsync(4, () => true);
        Assert.Equal(0, await client.ReceiveAsync(new byte[1], Limits.Soon));
        await client.DisposeAsync();
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Idle) == 1, "not closed as idle");
    }

    [Theory, InlineData(0, 14.0, 2.5), InlineData(1000, 4.0, 4.0)]
    public async Task A_begun_frame_must_become_whole_in_time_and_at_a_rate(int bytesPerSecondMin, double alive,
        double over)
    {
        await using var server = StartMessages(o => o.FrameBytesPerSecondMin = bytesPerSecondMin);
        var client = await ConnectAsync();
        await client.SendAsync(new byte[] { 0, 0, 0, 99, 1 });
        await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: 5, FrameBegunAt: 0 }], "not received");
        await AdvanceAsync(alive, () => server.Statistics.Current == 1);
        await AdvanceAsync(over, () => true);
        var error = await Assert.ThrowsAsync<ConnectionException>(
            () => client.ReceiveAsync(new byte[1], Limits.Soon).AsTask());
        Assert.Equal(CloseReason.Reset, error.CloseReason);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.ReceiveTooSlow) == 1, "not too slow");
    }

    [Fact]
    public async Task A_slow_handler_is_not_a_slow_peer()
    {
        var gate = new TaskCompletionSource();
        await using var server = StartMessages(_ => { }, gate.Task);
        var client = new Session<ReadOnlyMemory<byte>>(await ConnectAsync(), Codec.LengthPrefixed());
        await client.Connection.SendAsync(new byte[] { 0, 0, 0, 2, 1 });
        await Limits.UntilAsync(() => server.Connections is [{ FrameBegunAt: 0 }], "the frame did not begin");
        await client.Connection.SendAsync(new byte[] { 2 });
        await Limits.UntilAsync(() => server.Connections is [{ FramesReceived: 1 }], "the frame was not read");
        await AdvanceAsync(600, () => server.Statistics.Current == 1);
        gate.SetResult();
        Assert.Equal([1, 2], (await client.ReceiveAsync(Limits.Soon)).ToArray());
        client.Abort();
    }

    [Fact]
    public async Task A_peer_that_takes_nothing_is_cut_off()
    {
        await using var server = Start(c => c.SendAsync(new byte[1 << 20]).AsTask(), _ => { });
        var client = await ConnectAsync();
        await Limits.UntilAsync(() => server.Connections is [{ BytesQueued: > 0 }], "nothing is queued");
        await AdvanceAsync(25, () => server.Statistics.Current == 1);
        await AdvanceAsync(7, () => true);
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.WriteStalled) == 1, "not write_stalled");
        Assert.Equal(CloseReason.Reset, (await Assert.ThrowsAsync<ConnectionException>(
            () => client.ReceiveExactlyAsync(new byte[1 << 20], Limits.Soon).AsTask())).CloseReason);
    }

    private static void InterlockedMax(ref int target, int value)
    {
        for (var seen = target; value > seen; seen = target)
            Interlocked.CompareExchange(ref target, value, seen);
    }

    private static async Task<Connection?> TryEnterAsync(string from, int port)
    {
        try
        {
            var client = await SocketClient.ConnectAsync(Endpoint.Parse($"tcp://127.0.0.1:{port}"),
                o => o.Transport.Bind = Endpoint.Parse($"tcp://{from}:0"));
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            return client;
        }
        catch (MortiseException e) when (e.Symbol == "ECONNRESET")
        {
            return null; // turned away, perhaps before connect(2) had returned
        }
    }

    private SocketServer StartMessages(Action<ServerOptions> configure, Task? wait = null) =>
        SocketServer.Start<ReadOnlyMemory<byte>>(Place, Codec.LengthPrefixed(), async (s, m) =>
        {
            await (wait ?? Task.CompletedTask);
            await s.SendAsync(m);
        }, o => Configure(o, configure));

    private SocketServer Start(Func<Connection, Task> handler, Action<ServerOptions> configure) =>
        SocketServer.Start(Place, handler, o => Configure(o, configure));

    private void Configure(ServerOptions options, Action<ServerOptions> configure)
    {
        options.Transport.Time = _time;
        options.Transport.Memory = _network;
        configure(options);
    }

    private ValueTask<Connection> ConnectAsync() =>
        SocketClient.ConnectAsync(Place, o => o.Transport.Memory = _network);

    /// <summary>Second by second, as the server's watch looks.</summary>
    private async Task AdvanceAsync(double seconds, Func<bool> holds)
    {
        for (var moved = 0.0; moved < seconds; moved += 0.5)
        {
            _time.Advance(TimeSpan.FromSeconds(0.5));
            await Task.Yield();
            Assert.True(holds(), $"not so after {moved + 0.5} s more");
        }
    }
}
