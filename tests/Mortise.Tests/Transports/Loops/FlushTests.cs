using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Flushes that wait for a peer that does not read, how they end without it, and what nobody's flush
/// holds.</summary>
[Collection("alone")]
public sealed class FlushTests
{
    private const int Piece = 4096, FullBytes = 32 << 20;

    /// <summary>True: the flush comes from another thread than the loop.</summary>
    public static TheoryData<EngineKind, bool> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, bool>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
            {
                cases.Add(engine, false);
                cases.Add(engine, true);
            }

            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task An_output_that_is_completed_with_an_exception_fails_the_flush_that_waits(EngineKind engine,
        bool elsewhere)
    {
        var told = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            Fill(c);
            var flush = elsewhere ? Task.Run(() => c.Output.FlushAsync().AsTask()) : c.Output.FlushAsync().AsTask();
            var writer = (LoopWriter)c.Output;
            await Limits.UntilAsync(() => c.BytesSent > 0 && writer.InFlight
                && writer.OthersWaiting == (elsewhere ? 1 : 0), "the flush does not wait for the kernel");
            Assert.False(flush.IsCompleted);
            if (elsewhere)
                await Task.Run(() => c.Output.Complete(new InvalidDataException()));
            else
                await c.Output.CompleteAsync(new InvalidDataException()).AsTask()
                    .WaitAsync(TimeSpan.FromMilliseconds(50)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            told.SetResult(await Record.ExceptionAsync(() => flush.WaitAsync(TimeSpan.FromSeconds(5))));
            c.Abort();
        });
        await using var client = await server.ConnectAsync();
        var error = Assert.IsType<ConnectionException>(await told.Task.InTime());
        Assert.Equal(CloseReason.Abort, error.CloseReason);
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task Flushes_that_are_given_up_are_forgotten(EngineKind engine, bool elsewhere)
    {
        var left = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            Fill(c);
            for (var i = 0; i < 200; i++)
            {
                using var impatient = new CancellationTokenSource();
                var flush = elsewhere ? Task.Run(() => c.Output.FlushAsync(impatient.Token).AsTask())
                    : c.Output.FlushAsync(impatient.Token).AsTask();
                await Task.Yield();
                await impatient.CancelAsync();
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => flush.InTime());
            }

            await Task.Yield(); // behind what was posted
            left.SetResult(((LoopWriter)c.Output).OthersWaiting);
            c.Abort();
        });
        await using var client = await server.ConnectAsync();
        Assert.Equal(0, await left.Task.InTime());
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_relay_goes_past_memory_that_is_lent(EngineKind engine)
    {
        var destination = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        var lent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var relayed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            if (destination.TrySetResult(c))
                await LendAsync(c, lent, relayed.Task);
            else
                await c.Input.CopyToAsync((await destination.Task).Output);
        }, o => o.Transport.Loops = 1);
        await using var reader = await server.ConnectAsync();
        await lent.Task.InTime();
        await using var source = await server.ConnectAsync();
        await source.SendAsync(Enumerable.Repeat((byte)'r', 3000).ToArray());
        await ReadAsync(reader, new string('r', 3000));
        relayed.SetResult();
        await ReadAsync(reader, new string('o', 100));
    }

    /// <summary>The pool lends by another queue than the loop.</summary>
    [Theory, MemberData(nameof(Cases)), InlineData(EngineKind.Managed, true)]
    public async Task Others_bytes_leave_though_memory_is_lent(EngineKind engine, bool fromThePool)
    {
        var begun = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        var lent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var sent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            await c.Output.WriteAsync("begin "u8.ToArray());
            begun.SetResult(c);
            await LendAsync(c, lent, sent.Task);
        }, o => o.Dispatch = fromThePool ? Dispatch.ThreadPool : Dispatch.Loop);
        await using var reader = await server.ConnectAsync();
        await lent.Task.InTime();
        for (var i = 0; i < 10; i++)
        {
            await (await begun.Task).SendAsync("fromOutside "u8.ToArray(), Limits.Soon);
            await ReadAsync(reader, i == 0 ? "begin fromOutside " : "fromOutside ");
        }

        sent.SetResult();
        await ReadAsync(reader, new string('o', 100));
    }

    [Theory, InlineData(EngineKind.Managed), InlineData(EngineKind.Epoll), InlineData(EngineKind.IoUring)]
    public async Task Bytes_that_are_not_flushed_are_no_slow_reader(EngineKind engine)
    {
        Assert.SkipUnless(engine == EngineKind.Managed || Engines.WithLoops.Any(e => e.Data == engine), "not here");
        await using var server = Served.Start(engine, async c =>
        {
            c.Output.GetSpan(100)[..100].Clear();
            c.Output.Advance(100);
            await Task.Delay(600, c.Closed);
            await c.Output.FlushAsync();
        }, o => o.WriteStallTimeout = TimeSpan.FromMilliseconds(100));
        await using var client = await server.ConnectAsync();
        Assert.Equal(100, (await Limits.ReadToEndAsync(client)).Length);
    }

    private static async Task LendAsync(Connection c, TaskCompletionSource lent, Task untilThen)
    {
        var memory = c.Output.GetMemory(100)[..100];
        memory.Span.Fill((byte)'o');
        lent.SetResult();
        await untilThen;
        Assert.Equal(-1, memory.Span.IndexOfAnyExcept((byte)'o'));
        c.Output.Advance(100);
        await c.Output.FlushAsync();
        await c.Input.ReadAsync();
    }

    private static async Task ReadAsync(Connection from, string expected)
    {
        var bytes = new byte[expected.Length];
        await from.ReceiveExactlyAsync(bytes, Limits.Soon);
        Assert.Equal(expected, System.Text.Encoding.ASCII.GetString(bytes));
    }

    /// <summary>More than any kernel takes for a peer that does not read.</summary>
    private static void Fill(Connection c)
    {
        for (var bytes = 0; bytes < FullBytes; bytes += Piece)
        {
            c.Output.GetSpan(Piece)[..Piece].Clear();
            c.Output.Advance(Piece);
        }
    }
}
