using System.Buffers;
using System.IO.Pipelines;
using System.Threading.Tasks.Sources;
using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// The sending pipe of a <see cref="LoopConnection"/>. What is written in a turn of the loop leaves together at its end;
/// a flush waits only while more than <see cref="HighWaterBytes"/> are on their way, or for a large write that the
/// kernel takes straight from the caller's memory.
/// </summary>
/// <remarks>
/// On the loop's thread nothing is locked. Other threads write to a <see cref="ForeignQueue"/>, which the loop takes
/// over whole; their flushes end when the kernel has taken the bytes. Invariant: <c>_pending</c> is the borrowed bytes
/// plus those from <c>_skip</c> of <c>_head</c> to the end of <c>_tail</c>.
/// </remarks>
internal sealed class LoopWriter(LoopConnection connection) : PipeWriter, IValueTaskSource<FlushResult>
{
    public const int HighWaterBytes = 64 * 1024;
    private const int LowWaterBytes = HighWaterBytes / 2;

    /// <summary>From here on waiting for the kernel is cheaper than a copy.</summary>
    private const int BorrowedBytesMin = 8 * 1024;

    private Block? _head;
    private Block? _tail;
    private int _skip;
    private unsafe byte* _borrowed;
    private int _borrowedBytes;
    private MemoryHandle _pin;
    private long _pending;
    private long _sent;
    private bool _completed;
    private bool _broken;
    private ForeignQueue? _foreign;
    private FlushWaits? _waits;

    public EventLoop Loop => connection.Loop;

    /// <summary>The kernel works on a send; the memory gathered for it must stay.</summary>
    public bool InFlight { get; set; }

    /// <summary>A relay that waits for room.</summary>
    public Relay? Drained { get; set; }

    /// <summary>Bytes that the loop has and the kernel has not taken.</summary>
    public long Pending => Volatile.Read(ref _pending);

    /// <summary><see cref="Pending"/>, and what other threads have written and not flushed.</summary>
    public long Queued => Pending + (_foreign?.Bytes ?? 0);

    public Exception EndedError => connection.EndedError("send");

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

        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        if (_broken || _completed || _tail is null)
            return;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _tail.Free);
        _tail.Lent = false;
        _tail.Fill(bytes);
        Volatile.Write(ref _pending, _pending + bytes);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (!Loop.IsCurrent)
            return FlushFromElsewhereAsync(cancellationToken);
        if (_broken)
            throw EndedError;
        TakeForeign();
        if (_pending == 0)
            return default;
        Loop.ToSend(connection);
        return _pending <= HighWaterBytes ? default : WaitUntilSent(_sent + _pending - LowWaterBytes, cancellationToken);
    }

    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source,
        CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!Loop.IsCurrent)
        {
            ThrowIfUnusable();
            Foreign.Write(source.Span);
            return FlushFromElsewhereAsync(cancellationToken);
        }

        ThrowIfUnusable();
        TakeForeign();
        if (source.Length >= BorrowedBytesMin && _pending == 0 && MayBorrow(cancellationToken))
            return SendBorrowed(source);
        Copy(source.Span);
        return FlushAsync(cancellationToken);
    }

    /// <summary>Several pieces, together.</summary>
    public ValueTask<FlushResult> WriteAsync(ReadOnlySequence<byte> source, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        ThrowIfUnusable();
        BeginMessage();
        try
        {
            foreach (var part in source)
            {
                if (Loop.IsCurrent)
                    Copy(part.Span);
                else
                    Foreign.Write(part.Span);
            }
        }
        finally
        {
            EndMessage();
        }

        return FlushAsync(cancellationToken);
    }

    /// <summary>On the loop nobody can come between; elsewhere the lock keeps a message in one piece.</summary>
    public void BeginMessage()
    {
        if (Loop.IsCurrent)
            TakeForeign();
        else
            Foreign.Gate.Enter();
    }

    public void EndMessage()
    {
        if (!Loop.IsCurrent)
            Foreign.Gate.Exit();
    }

    /// <summary>What was written leaves soon; nobody waits for it.</summary>
    public void FlushSoon()
    {
        if (Loop.IsCurrent)
            Go();
        else if (Interlocked.Exchange(ref Foreign.FlushPosted, 1) == 0)
            Loop.Post(static w => ((LoopWriter)w!).Go(), this);
    }

    public override void CancelPendingFlush()
    {
        // Flushes wait for the kernel alone and are cancelled by their own token; there is nothing to cancel here.
    }

    public override void Complete(Exception? exception = null)
    {
        if (!Loop.IsCurrent)
        {
            Loop.Post(static w => ((LoopWriter)w!).Complete(), this);
            return;
        }

        if (_completed)
            return;
        TakeForeign();
        _completed = true;
        if (_broken)
            return;
        if (exception is not null && !InFlight)
            DropQueued();
        if (_pending == 0)
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
        if (_pending > 0 && !_broken)
            await WaitUntilSent(_sent + _pending, default).ConfigureAwait(false);
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
        if (start > 0 || _tail is { Lent: true })
        {
            Copy(block.Bytes.AsSpan(start, block.Filled - start));
            BlockPool.Shared.Return(block);
        }
        else
        {
            Queue(block);
        }

        Loop.ToSend(connection);
        return true;
    }

    /// <summary>What to send now: at most as many pieces as there is room for; they stay until it is sent.</summary>
    public unsafe int Gather(Span<IoVector> parts)
    {
        if (_borrowedBytes > 0)
        {
            parts[0] = new() { Address = _borrowed, Bytes = _borrowedBytes };
            return 1;
        }

        var count = 0;
        var skip = _skip;
        for (var block = _head; block is not null && count < parts.Length; block = block.NextBlock, skip = 0)
        {
            if (block.Filled > skip)
                parts[count++] = new() { Address = block.Address() + skip, Bytes = block.Filled - skip };
        }

        return count;
    }

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
        Volatile.Write(ref _pending, _pending - bytes);
        if (_borrowedBytes > 0)
            SentBorrowed(bytes);
        else
            Release(bytes);
        if (_waits?.IsDue(_sent) == true)
            Loop.Ready(connection);
        if (Drained is { } relay && _pending <= LowWaterBytes)
        {
            Drained = null;
            relay.OnDrained();
        }

        if (_pending > 0)
            Loop.ToSend(connection);
        else if (_completed && !_broken)
            connection.ShutdownSendNow();
    }

    /// <summary>Flushes whose bytes have gone go on.</summary>
    public void RunReady() => _waits?.Complete(connection, _sent);

    /// <summary>No later write succeeds.</summary>
    public void Break() => _broken = true;

    /// <summary>The kernel has let go of the memory: everything is given back, and who waits is told.</summary>
    public void Free()
    {
        _broken = true;
        InFlight = false;
        _pin.Dispose();
        _borrowedBytes = 0;
        DropQueued();
        _foreign?.Drop();
        Drained?.OnDrained();
        Drained = null;
        _waits?.Fail(connection, EndedError);
    }

    FlushResult IValueTaskSource<FlushResult>.GetResult(short token) => _waits!.Result(token);

    ValueTaskSourceStatus IValueTaskSource<FlushResult>.GetStatus(short token) => _waits!.Own.Status(token);

    void IValueTaskSource<FlushResult>.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _waits!.Own.OnCompleted(connection, continuation, state, flags);

    private ForeignQueue Foreign => Volatile.Read(ref _foreign)
        ?? Interlocked.CompareExchange(ref _foreign, new ForeignQueue(), null) ?? _foreign;

    private FlushWaits Waits => _waits ??= new FlushWaits();

    private Block Lend(int sizeHint)
    {
        ThrowIfUnusable();
        if (!Loop.IsCurrent)
            return Foreign.Lend(sizeHint);
        TakeForeign();
        var tail = Tail(sizeHint, BlockPool.SmallBytes);
        tail.Lent = true;
        return tail;
    }

    private void Go()
    {
        TakeForeign();
        if (_pending > 0 && !_broken)
            Loop.ToSend(connection);
    }

    private ValueTask<FlushResult> WaitUntilSent(long position, CancellationToken cancellationToken) =>
        Waits.TryBeginOwn(position, MayBorrow(cancellationToken), out var token)
            ? new(this, token)
            : Waits.JoinAsync(position, cancellationToken);

    private async ValueTask<FlushResult> FlushFromElsewhereAsync(CancellationToken cancellationToken)
    {
        if (_broken)
            throw EndedError;
        var gone = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Loop.Post(static s =>
        {
            var (writer, gone) = (Tuple<LoopWriter, TaskCompletionSource>)s!;
            writer.Go();
            if (writer._broken)
                gone.TrySetException(writer.EndedError);
            else if (writer._pending == 0)
                gone.TrySetResult();
            else
                writer.Waits.Join(writer._sent + writer._pending, gone);
        }, Tuple.Create(this, gone));
        await gone.Task.WaitOrLeaveAsync(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken)
            .ConfigureAwait(false);
        return default;
    }

    private unsafe ValueTask<FlushResult> SendBorrowed(ReadOnlyMemory<byte> source)
    {
        _pin = source.Pin();
        _borrowed = (byte*)_pin.Pointer;
        _borrowedBytes = source.Length;
        Volatile.Write(ref _pending, source.Length);
        Loop.ToSend(connection);
        return WaitUntilSent(_sent + source.Length, default);
    }

    private unsafe void SentBorrowed(int bytes)
    {
        _borrowed += bytes;
        _borrowedBytes -= bytes;
        if (_borrowedBytes == 0)
            _pin.Dispose();
    }

    private void TakeForeign()
    {
        if (_foreign is not { } foreign)
            return;
        Volatile.Write(ref foreign.FlushPosted, 0);
        if (foreign.Bytes == 0 || _tail is { Lent: true })
            return;
        for (var next = foreign.TakeAll(); next is { } block;)
        {
            next = block.NextBlock;
            if (_broken || _completed)
                BlockPool.Shared.Return(block);
            else
                Queue(block);
        }
    }

    private void Queue(Block block)
    {
        block.Unlink();
        Volatile.Write(ref _pending, _pending + block.Filled);
        if (_tail is null)
            _head = block;
        else
            _tail.Append(block);
        _tail = block;
    }

    private void Copy(ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            var tail = _tail is { Free: > 0 } ? _tail
                : Tail(1, source.Length > BlockPool.MediumBytes ? BlockPool.LargeBytes
                    : source.Length > BlockPool.SmallBytes ? BlockPool.MediumBytes : BlockPool.SmallBytes);
            var bytes = Math.Min(source.Length, tail.Free);
            source[..bytes].CopyTo(tail.FreeSpan);
            tail.Lent = false;
            tail.Fill(bytes);
            Volatile.Write(ref _pending, _pending + bytes);
            source = source[bytes..];
        }
    }

    private Block Tail(int sizeHint, int newBytes)
    {
        if (_tail is not null && _tail.Free >= Math.Max(sizeHint, 1))
            return _tail;
        var block = BlockPool.Shared.Rent(Math.Max(sizeHint, newBytes));
        if (_tail is null)
            _head = block;
        else
            _tail.Append(block);
        return _tail = block;
    }

    /// <summary>Gives back what the kernel has taken; a block in somebody's hands stays until it is filled.</summary>
    private void Release(int bytes)
    {
        _skip += bytes;
        while (_head is { } block && _skip >= block.Filled && (block != _tail || !block.Lent))
        {
            _skip -= block.Filled;
            _head = block.NextBlock;
            if (_head is null)
                _tail = null;
            BlockPool.Shared.Return(block);
        }
    }

    private void DropQueued()
    {
        BlockPool.Shared.ReturnChain(_head);
        _head = _tail = null;
        _skip = 0;
        Volatile.Write(ref _pending, 0);
    }

    /// <summary>Memory can be lent to the kernel only when nobody can take it back before the send is over.</summary>
    private bool MayBorrow(CancellationToken cancellationToken) =>
        !cancellationToken.CanBeCanceled || cancellationToken == connection.ClosedOrNone;

    private void ThrowIfUnusable()
    {
        if (_broken || _completed)
            throw EndedError;
    }
}
