using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Flushes that wait for a peer that does not read, and how they come to an end without it.</summary>
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
        var planted = new InvalidDataException("planted");
        await using var server = Served.Start(engine, async c =>
        {
            Fill(c);
            var flush = elsewhere ? Task.Run(() => c.Output.FlushAsync().AsTask()) : c.Output.FlushAsync().AsTask();
            await Task.Delay(50);
            Assert.False(flush.IsCompleted);
            if (elsewhere)
                await Task.Run(() => c.Output.Complete(planted));
            else
                await c.Output.CompleteAsync(planted).AsTask().WaitAsync(TimeSpan.FromMilliseconds(50))
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            told.SetResult(await Record.ExceptionAsync(() => flush.WaitAsync(TimeSpan.FromSeconds(5))));
            c.Abort();
        });
        await using var client = await server.ConnectAsync();
        var error = Assert.IsType<ConnectionException>(await told.Task.InTime());
        Assert.Same(planted, error.InnerException);
        Assert.Contains("completed with an exception", error.Message, StringComparison.Ordinal);
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

            await Task.Run(() => Task.Delay(20)); // behind what was posted
            await Task.Yield();
            left.SetResult(((LoopWriter)c.Output).OthersWaiting);
            c.Abort();
        });
        await using var client = await server.ConnectAsync();
        Assert.Equal(0, await left.Task.InTime());
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_relay_waits_for_the_owner_of_lent_memory(EngineKind engine)
    {
        var destination = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        var lent = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var relayed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            if (destination.TrySetResult(c))
            {
                var memory = c.Output.GetMemory(100);
                lent.SetResult();
                await relayed.Task;
                memory.Span[..100].Fill((byte)'o');
                c.Output.Advance(100);
                await c.Output.FlushAsync();
                await Task.Delay(Timeout.Infinite, c.Closed);
            }
            else
            {
                await c.Input.CopyToAsync((await destination.Task).Output);
            }
        }, o => o.Transport.Loops = 1);
        await using var reader = await server.ConnectAsync();
        await lent.Task.InTime();
        await using var source = await server.ConnectAsync();
        await source.SendAsync(Enumerable.Repeat((byte)'r', 3000).ToArray());
        await Limits.UntilAsync(() => server.Connections.Any(c => c.BytesReceived == 3000 && c.BytesHeld == 0),
            "the relay has not taken it");
        relayed.SetResult();
        var all = new byte[3100];
        await reader.ReceiveExactlyAsync(all, Limits.Soon);
        Assert.Equal(new string('o', 100) + new string('r', 3000), System.Text.Encoding.ASCII.GetString(all));
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
