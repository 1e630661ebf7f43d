using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Closing in order, when something is in the way of it.</summary>
[Collection("alone")]
public sealed class CloseTests
{
    private const int RingBytes = 1 << 20;

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_close_that_fails_ends_the_connection_all_the_same(EngineKind engine)
    {
        var refused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            await c.ReceiveAsync(new byte[1]);
            var tooLong = TimeSpan.FromDays(100); // no timer can be set to it
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
                () => c.CloseAsync(CloseReason.Local, tooLong, tooLong).AsTask());
            refused.SetResult();
            await Task.Delay(Limits.Time, c.Closed);
        });
        await using var client = await server.ConnectAsync();
        await client.SendAsync(new byte[1]);
        await refused.Task.InTime();
        await Limits.UntilAsync(() => server.Statistics.Current == 0, "the connection is left");
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task What_is_thrown_away_at_the_close_leaves_the_other_connections_their_turns(EngineKind engine)
    {
        var waiting = 0;
        var turns = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            var there = (LoopConnection)c;
            while (waiting < RingBytes + 512 * 1024) // no event says how much the kernel holds
            {
                await Task.Delay(2, c.Closed);
                waiting = there.Descriptor.BytesWaiting();
            }

            var before = there.Loop.Turns;
            c.Closed.Register(() => turns.SetResult(there.Loop.Turns - before));
            await c.CloseAsync(CloseReason.Local, Limits.Time, TimeSpan.Zero);
        }, o => (o.Transport.ReceiveBufferBytes, o.CloseLinger) = (1 << 20, TimeSpan.Zero));
        await using var client = await server.ConnectAsync();
        var flood = Record.ExceptionAsync(() => client.SendAsync(new byte[64 << 20]).AsTask());
        var passed = await turns.Task.InTime();
        // What the ring takes before it hears of the end is not left to be thrown away.
        Assert.True(passed >= (waiting - RingBytes) / (64 * 1024), $"{passed} turns for {waiting} bytes");
        await flood.InTime();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_read_that_the_end_wakes_finds_the_connection_over(EngineKind engine)
    {
        var found = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            var first = await Record.ExceptionAsync(() => c.ReceiveAsync(new byte[1]).AsTask());
            var reason = c.CloseReason;
            var detaching = ((LoopConnection)c).IsDetaching;
            var second = await Record.ExceptionAsync(() => c.ReceiveAsync(new byte[1]).AsTask());
            var write = await Record.ExceptionAsync(() => c.SendAsync(new byte[1]).AsTask());
            found.SetResult($"{reason} {detaching} {string.Join(' ', new[] { first, second, write }
                .Select(e => (e as ConnectionException)?.CloseReason))}");
        });
        await using var client = await server.ConnectAsync();
        await Limits.UntilAsync(() => server.Connections.Count == 1, "nobody came");
        server.Connections[0].Abort(CloseReason.Idle);
        Assert.Equal("Idle True Idle Idle Idle", await found.Task.InTime());
    }
}
