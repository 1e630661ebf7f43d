using System.Buffers;
using System.IO.Pipelines;
using Mortise.Errors;
using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// The sending pipe of a <see cref="LoopConnection"/>. What is written in a turn of the loop leaves when it ends;
/// a flush waits only while more than <see cref="HighWaterBytes"/> are on their way, or for a large write that the
/// kernel takes straight from the caller's memory.
/// </summary>
/// <remarks>
/// On the loop's thread nothing is locked. Other threads write to a <see cref="ForeignQueue"/>, which the loop takes
/// over whole; their flushes end when the kernel has taken the bytes.
/// </remarks>
internal sealed class LoopWriter(LoopConnection connection) : PipeWriter, Framing.IGatheringOutput
{
    public const int HighWaterBytes = 64 * 1024;
    private const int LowWaterBytes = HighWaterBytes / 2;

    /// <summary>From here on a call of the kernel's is cheaper than a copy.</summary>
    private const int UncopiedBytesMin = 8 * 1024;

    private SendQueue _queue;
    private long _sent;
    private bool _completed;
    private bool _broken;
    private ForeignQueue? _foreign;
    private FlushWaits _waits;

    public EventLoop Loop => connection.Loop;

    /// <summary>The kernel works on a send; the memory gathered for it must stay.</summary>
    public bool InFlight { get; set; }

    /// <summary>Relays that wait for room; several may end here.</summary>
    public Action? Drained { get; set; }

    /// <summary>Flushes that wait besides the handler's.</summary>
    public int OthersWaiting => _waits.Others;

    /// <summary>Bytes that the loop has and the kernel has not taken.</summary>
    public long Pending => _queue.Bytes;

    /// <summary><see cref="Pending"/>, and what other threads have written and not flushed.</summary>
    public long Queued => Pending + (_foreign?.Bytes ?? 0);

    public Exception EndedError => connection.Ended("send");

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => Queued;

    public override Memory<byte> GetMemory(int sizeHint = 0) => Lend(sizeHint).FreeMemory;

    public override Span<byte> GetSpan(int sizeHint = 0) => Lend(sizeHint).FreeSpan;

    public override void Advance(int bytes)
    {
        if (!Loop.IsCurrent)
        {
            Foreign.Advance(bytes);
            return;
        }

        if (!_broken && !_completed)
            _queue.Advance(bytes);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (!Loop.IsCurrent)
            return FlushFromElsewhere(cancellationToken).Result;
        if (_broken)
            throw EndedError;
        TakeForeign();
        if (Pending == 0)
            return default;
        Loop.ToSend(connection);
        return Pending <= HighWaterBytes ? default : WaitUntilSent(_sent + Pending - LowWaterBytes, cancellationToken);
    }

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source,
        CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ThrowIfUnusable();
        if (!Loop.IsCurrent)
        {
            Foreign.Write(source.Span);
            return FlushFromElsewhere(cancellationToken).Result;
        }

        TakeForeign();
        source = source[SendNow([], source.Span, [])..];
        if (source.Length >= UncopiedBytesMin && Pending == 0 && connection.IsOwn(cancellationToken))
        {
            _queue.Borrow(source);
            Loop.ToSend(connection);
            return WaitUntilSent(_sent + source.Length, default);
        }

        _queue.Copy(source.Span);
        return FlushAsync(cancellationToken);
    }

    /// <summary>A large frame: what the kernel does not take at once is copied.</summary>
    public void Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail)
    {
        ThrowIfUnusable();
        if (!Loop.IsCurrent)
        {
            Foreign.Write(head, payload, tail);
            return;
        }

        TakeForeign();
        _queue.Copy(head, payload, tail, skip: SendNow(head, payload, tail));
    }

    /// <summary>Several pieces, together; on the loop.</summary>
    public ValueTask<FlushResult> WriteAsync(in ReadOnlySequence<byte> source, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ThrowIfUnusable();
        TakeForeign();
        foreach (var part in source)
            _queue.Copy(part.Span);
        return FlushAsync(cancellationToken);
    }

    /// <summary>Of another thread: a flush of which only the end counts.</summary>
    public ValueTask FlushedFromElsewhereAsync(CancellationToken cancellationToken) =>
        FlushFromElsewhere(cancellationToken).End;

    /// <summary>Of another thread: a write of which only the end counts.</summary>
    public ValueTask SendFromElsewhereAsync(in ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ThrowIfUnusable();
        Foreign.Write(bytes);
        return FlushFromElsewhere(cancellationToken).End;
    }

    /// <summary>On the loop nobody can come between; elsewhere the lock keeps a message in one piece.</summary>
    public void BeginMessage()
    {
        if (Loop.IsCurrent)
            TakeForeign();
        else
            Foreign.Enter();
    }

    public void EndMessage()
    {
        if (!Loop.IsCurrent)
            Foreign.Exit();
    }

    /// <summary>What was written leaves soon; nobody waits for it.</summary>
    public void FlushSoon()
    {
        if (Loop.IsCurrent)
            Go();
        else if (Interlocked.Exchange(ref Foreign.FlushPosted, 1) == 0)
            Loop.Post(GoSoon, this);
    }

    /// <summary>Nothing: flushes wait for the kernel alone and are cancelled by their own token.</summary>
    public override void CancelPendingFlush()
    {
    }

    public override void Complete(Exception? exception = null)
    {
        if (!Loop.IsCurrent)
        {
            Loop.Post(_ => Complete(exception), null);
            return;
        }

        if (_completed)
            return;
        TakeForeign();
        _completed = true;
        if (_broken)
            return;
        if (exception is not null)
            connection.AbortFor(CloseReason.Abort); // a FIN would tell the peer that this was all
        else if (Pending == 0)
            connection.ShutdownSendNow();
        else
            Loop.ToSend(connection);
    }

    /// <summary>Ends sending in order, and waits until what was written has gone out, with the FIN behind it.</summary>
    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        var fromElsewhere = !Loop.IsCurrent;
        await Loop.Enter();
        Complete(exception);
        if (Pending > 0 && !_broken)
            await WaitUntilSent(_sent + Pending, default).ConfigureAwait(false);
        if (fromElsewhere)
            await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
    }

    /// <summary>Takes a received block as it is; false when the connection is over.</summary>
    public bool TryQueue(Block block, int start)
    {
        if (_broken || _completed)
        {
            BlockPool.Shared.Return(block);
            return false;
        }

        TakeForeign();
        if (start == 0)
        {
            _queue.Add(block);
        }
        else
        {
            _queue.Copy(block.Bytes.AsSpan(start, block.Filled - start));
            BlockPool.Shared.Return(block);
        }

        Loop.ToSend(connection);
        return true;
    }

    public int Gather(Span<IoVector> parts) => _queue.Gather(parts);

    /// <summary>The kernel took that many bytes, or refused.</summary>
    public void Sent(int bytes, int errno)
    {
        InFlight = false;
        if (errno != 0)
        {
            connection.Fail("send", errno);
            return;
        }
        connection.CountSent(bytes);
        _sent += bytes;
        _queue.Taken(bytes);
        if (_waits.IsDue(_sent))
            Loop.Ready(connection);
        if (Drained is not null && Pending <= LowWaterBytes)
            TellDrained();
        if (Pending > 0)
            Loop.ToSend(connection);
        else if (_completed && !_broken)
            connection.ShutdownSendNow();
    }

    /// <summary>Flushes whose bytes have gone go on.</summary>
    public void RunReady() => _waits.Complete(_sent);

    /// <summary>A flush that waited was given up.</summary>
    public void Forget(PendingFlush gone) => _waits.Forget(gone);

    /// <summary>No later write succeeds.</summary>
    public void Break() => _broken = true;

    /// <summary>The kernel has let go of the memory: everything is given back, and who waits is told.</summary>
    public void Free()
    {
        _broken = true;
        InFlight = false;
        _queue.Drop();
        _foreign?.Drop();
        TellDrained();
        _waits.Fail(EndedError);
    }

    private ForeignQueue Foreign => Volatile.Read(ref _foreign)
        ?? Interlocked.CompareExchange(ref _foreign, new ForeignQueue(), null) ?? _foreign;

    private Block Lend(int sizeHint)
    {
        ThrowIfUnusable();
        if (!Loop.IsCurrent)
            return Foreign.Lend(sizeHint);
        TakeForeign();
        return _queue.Lend(sizeHint);
    }

    private void TellDrained()
    {
        (var drained, Drained) = (Drained, null);
        drained?.Invoke();
    }

    private bool Go()
    {
        // A full barrier: who finds the flag still set has written before the look that follows here.
        if (_foreign is { } foreign)
            Interlocked.Exchange(ref foreign.FlushPosted, 0);
        var taken = TakeForeign();
        if (Pending > 0 && !_broken)
            Loop.ToSend(connection);
        return taken;
    }

    private ValueTask<FlushResult> WaitUntilSent(long position, CancellationToken cancellationToken) =>
        _waits.UntilAsync(position, this, connection, cancellationToken);

    private PendingFlush FlushFromElsewhere(CancellationToken cancellationToken)
    {
        var flush = PendingFlush.Rent(this);
        if (!_broken)
        {
            Loop.Post(FlushHere, flush);
            return flush.UntilGivenUp(cancellationToken);
        }

        _foreign?.Drop(); // what was written as the end came, and nobody will take over
        flush.Complete(EndedError);
        return flush;
    }

    /// <summary>A flush of another thread arrives; in the next turn again if somebody is still writing.</summary>
    private static void FlushHere(object? state)
    {
        var flush = (PendingFlush)state!;
        var writer = flush.Writer;
        var taken = writer.Go();
        if (writer._broken)
            flush.Complete(writer.EndedError);
        else if (!taken)
            writer.Loop.Post(FlushHere, flush);
        else if (writer.Pending == 0)
            flush.Complete();
        else if (!flush.IsOver) // not given up
            writer._waits.Add(flush, writer._sent + writer.Pending);
    }

    private static void GoSoon(object? writer)
    {
        if (writer is LoopWriter { Loop: var loop } self && !self.Go())
            loop.Post(GoSoon, self);
    }

    /// <summary>A large piece with nothing queued before it goes from where it is; how much the kernel took.</summary>
    private int SendNow(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail)
    {
        if (payload.Length < UncopiedBytesMin || !Loop.IsCurrent || Pending != 0)
            return 0;
        var sent = connection.Descriptor.Send(head, payload, tail, out var errno);
        if (errno == Libc.Eagain)
            return 0;
        if (errno != 0)
            throw connection.Fail("send", errno);
        connection.CountSent(sent);
        _sent += sent;
        return sent;
    }

    /// <summary>False when another thread is in the middle of a message: it flushes when it is done.</summary>
    private bool TakeForeign()
    {
        if (_foreign is not { } foreign || foreign.Bytes == 0)
            return true;
        if (!foreign.TryTakeAll(out var first))
            return false;
        if (_broken || _completed)
            BlockPool.Shared.ReturnChain(first);
        else
            _queue.AddChain(first);
        return true;
    }

    private void ThrowIfUnusable()
    {
        if (_broken || _completed)
            throw EndedError;
    }
}
