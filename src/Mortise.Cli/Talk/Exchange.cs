using System.Buffers;
using System.Text.RegularExpressions;

namespace Mortise.Cli.Talk;

/// <summary>How an <see cref="Exchange"/> runs and ends.</summary>
internal sealed record ExchangePlan
{
    /// <summary>Whole frames in and out; null is bytes as they come.</summary>
    public Framing? Framing { get; init; }

    /// <summary>Say "finished" (FIN) to the peer when our own input ends; else only the peer ends it.</summary>
    public bool HalfClose { get; init; } = true;

    /// <summary>Close with a reset as soon as our input ended.</summary>
    public bool ResetAtEnd { get; init; }

    /// <summary>What the peer has to say; null is anything.</summary>
    public Regex? Expected { get; init; }

    /// <summary>The longest silence both ways; null is none while our input lasts, and 30 s after it.</summary>
    public TimeSpan? Timeout { get; init; }
}

/// <summary>
/// Both directions of one connection at once: our input goes to the peer, what the peer says goes to the output. It
/// ends when the peer has finished (its FIN), whatever is left of our input; with an expectation, when that is met.
/// </summary>
internal sealed class Exchange(Connection connection, Outgoing outgoing, PeerOutput output, ExchangePlan plan)
{
    private static readonly TimeSpan QuietAfterInput = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long a failed send waits for the receiving side, which knows more: the rest, or the reset.
    /// </summary>
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan FlushTime = TimeSpan.FromSeconds(5);
    private const int FlowGapMs = 100;

    private long _movedAt = Environment.TickCount64;
    private volatile bool _inputEnded;
    private volatile bool _inFlight;

    /// <exception cref="ConnectionException">The peer reset the connection.</exception>
    /// <exception cref="FrameException">Bytes broke the framing rule, or the stream ended inside a frame.</exception>
    /// <exception cref="TimedOutException">Nothing moved for the timeout.</exception>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        // A read of standard input cannot be cancelled: the sending side may outlive this method, with the process.
        var sending = Task.Run(() => SendAllAsync(over.Token), CancellationToken.None);
        var receiving = ReceiveAllAsync(over.Token);
        var quiet = WatchQuietAsync(over.Token);
        var satisfied = plan.ResetAtEnd ? sending : Task.WhenAll(sending, output.Satisfied);
        try
        {
            var first = await Task.WhenAny(receiving, FailureOf(sending), quiet, satisfied);
            if (first != receiving && first != quiet && sending.IsFaulted)
                await Task.WhenAny(receiving, Task.Delay(LastWords, cancellationToken));
            if (receiving.IsFaulted)
                await receiving;
            if (first == receiving)
                await SendRestAsync(sending, quiet);
            await first;
        }
        catch (Exception e)
        {
            await CloseAsync(ReasonOf(e));
            throw;
        }
        finally
        {
            await over.CancelAsync();
        }

        if (plan.ResetAtEnd)
            connection.Abort();
        else
            await CloseAsync(receiving.IsCompletedSuccessfully ? CloseReason.Eof : CloseReason.Local);
        if (receiving.IsCompletedSuccessfully)
            await output.EndedAsync();
    }

    /// <summary>
    /// After the peer's FIN our input goes on as long as it flows: the peer may still read (a half-close), and where it
    /// does not, its reset says that bytes were lost. Input that only might come is not waited for.
    /// </summary>
    private async Task SendRestAsync(Task sending, Task quiet)
    {
        while (!sending.IsCompleted && !quiet.IsCompleted
            && (_inFlight || Environment.TickCount64 - Interlocked.Read(ref _movedAt) < FlowGapMs))
            await Task.WhenAny(sending, quiet, Task.Delay(FlowGapMs / 5));
        if (sending.IsFaulted)
            await sending;
        if (quiet.IsCompleted)
            await quiet;
    }

    private ValueTask CloseAsync(CloseReason reason) => connection.CloseAsync(reason, FlushTime, TimeSpan.Zero);

    private static CloseReason ReasonOf(Exception failure) => failure switch
    {
        FrameException e => e.CloseReason,
        TimedOutException => CloseReason.Idle,
        _ => CloseReason.Local,
    };

    /// <summary>Ends only when the task fails; success is no reason to stop.</summary>
    private static async Task FailureOf(Task task)
    {
        await task;
        await Task.Delay(Timeout.Infinite);
    }

    private async Task SendAllAsync(CancellationToken cancellationToken)
    {
        await foreach (var piece in outgoing.PiecesAsync(cancellationToken))
        {
            _inFlight = true;
            if (plan.Framing is null)
                await connection.SendAsync(piece, cancellationToken);
            else
            {
                plan.Framing.Write(piece.Span, connection.Output);
                await connection.Output.FlushAsync(cancellationToken);
            }

            if (!piece.IsEmpty || plan.Framing is not null)
                output.Sent(piece.Span, whole: plan.Framing is not null);
            Moved();
            _inFlight = false;
        }

        if (plan.HalfClose && !plan.ResetAtEnd)
            await connection.ShutdownSendAsync();
        _inputEnded = true;
        Moved();
    }

    private async Task ReceiveAllAsync(CancellationToken cancellationToken)
    {
        var scan = default(FrameScan);
        while (true)
        {
            var result = await connection.Input.ReadAsync(cancellationToken);
            var rest = result.Buffer;
            if (!rest.IsEmpty)
                Moved();
            if (plan.Framing is { } rule)
            {
                while (TryTake(rule, ref rest, ref scan, result.IsCompleted, out var frame))
                    await output.ReceivedAsync(frame, whole: true);
            }
            else
            {
                await output.ReceivedAsync(rest, whole: false);
                rest = rest.Slice(rest.End);
            }

            connection.Input.AdvanceTo(rest.Start, rest.End);
            if (result.IsCompleted)
                return;
        }
    }

    /// <summary>
    /// The next whole frame; a framing rule knows no peers, so its error is told whose bytes they were.
    /// </summary>
    private bool TryTake(Framing rule, ref ReadOnlySequence<byte> rest, ref FrameScan scan, bool ended,
        out ReadOnlySequence<byte> frame)
    {
        try
        {
            return rule.TryRead(ref rest, ref scan, out frame)
                || ended && rule.TryReadLast(ref rest, ref scan, out frame);
        }
        catch (FrameException e)
        {
            throw new FrameException(e.CloseReason, e.Reason, e.Hint, connection.RemoteEndpoint.ToString());
        }
    }

    private async Task WatchQuietAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var limit = plan.Timeout ?? (_inputEnded && plan.HalfClose ? QuietAfterInput : Timeout.InfiniteTimeSpan);
            var left = limit - TimeSpan.FromMilliseconds(Environment.TickCount64 - Interlocked.Read(ref _movedAt));
            if (limit == Timeout.InfiniteTimeSpan)
                left = TimeSpan.FromSeconds(1);
            else if (left <= TimeSpan.Zero)
                throw new TimedOutException("recv", connection.RemoteEndpoint.ToString(),
                    FormattableString.Invariant($"nothing came for {limit.TotalSeconds:0.###} s"),
                    "the peer neither answered nor closed; --timeout T waits longer");
            await Task.Delay(left, cancellationToken);
        }
    }

    private void Moved() => Interlocked.Exchange(ref _movedAt, Environment.TickCount64);
}
