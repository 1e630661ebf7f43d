using System.IO.Pipelines;

namespace Mortise.Transports.Pipes;

/// <summary>
/// The sending pipe of a connection. A flush tries the kernel at once, with the caller's own memory where it can, and
/// waits only for what the kernel did not take. Whole writes from many threads never interleave: bytes are appended
/// under one lock, and one sender at a time hands everything appended so far to the kernel in one gathered call.
/// </summary>
/// <remarks>
/// Invariant: <c>_head</c>…<c>_tail</c> are bytes not yet given to a sender; while <c>_sending</c> is true exactly one
/// sender owns the wire, and <c>_nextTurn</c> completes when the bytes appended during its turn have been taken too.
/// </remarks>
internal sealed class WireWriter(IWireOwner owner, Connection connection, Wire wire, BlockPool pool) : PipeWriter,
    Framing.IGatheringOutput
{
    /// <summary>One wait covers no more than this, and what else fits is taken without waiting: so a reader that takes
    /// anything at all is seen to make progress by the write-stall watch.</summary>
    private const int WaitedBytesMax = 4 * 1024;

    private readonly Gather _gather = new(wire);
    private Block? _head;
    private Block? _tail;
    private Block? _lent;
    private long _queued;
    private long _inFlight;
    private bool _sending;
    private Turn? _nextTurn;
    private Exception? _fault;
    private bool _completed;

    /// <summary>Held while a message is written in pieces, so that it stays in one piece.</summary>
    public Lock Gate { get; } = new();

    /// <summary>Bytes accepted from the handler that the kernel has not taken.</summary>
    public long Pending => Volatile.Read(ref _queued) + Volatile.Read(ref _inFlight);

    public bool IsSending => Volatile.Read(ref _inFlight) > 0;
    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => Volatile.Read(ref _queued);

    /// <summary>The caller writes to it until Advance, others do not; it is not reused if the end comes
    /// first.</summary>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        lock (Gate)
        {
            ThrowIfUnusable();
            (_lent = Tail(sizeHint)).Lent = true;
            return _lent.FreeMemory;
        }
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        lock (Gate)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(bytes);
            if (_fault is not null || _completed)
                return;
            var lent = _lent ?? _tail;
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, lent?.Free ?? 0);
            _lent = null;
            if (lent is not null && lent != _tail)
                Copy(lent.FreeSpan[..bytes]); // others wrote, or sent what was before it
            else if (lent is not null)
                Fill(lent, bytes);
        }
    }

    public void Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail)
    {
        lock (Gate)
        {
            ThrowIfUnusable();
            Copy(head);
            Copy(payload);
            Copy(tail);
        }
    }

    /// <summary>
    /// Completes when the kernel has taken all bytes written before the call. Cancelling stops the wait, not the
    /// sending: bytes that were written leave whole and in order, also when the token was cancelled before the call,
    /// because nobody else may ever flush them.
    /// </summary>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        Block? batch;
        lock (Gate)
        {
            if (_fault is not null)
                throw connection.EndedError("send");
            if (_sending)
                return (_nextTurn ??= new Turn(wire.Continuations)).JoinAsync().FlushedOrLeaveAsync(cancellationToken);
            if (_queued == 0)
                return default;
            batch = TakeBatch();
        }

        return SendBatch(batch, cancellationToken);
    }

    /// <summary>
    /// Sends whole and in order, from any thread. When nothing is queued the kernel takes the bytes straight from
    /// <paramref name="source"/>, without a copy.
    /// </summary>
    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source,
        CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        bool borrow;
        lock (Gate)
        {
            ThrowIfUnusable();
            borrow = source.Length > 0 && !_sending && _queued == 0 && connection.IsOwn(cancellationToken);
            if (borrow)
            {
                _sending = true;
                Volatile.Write(ref _inFlight, source.Length);
            }
            else
            {
                Copy(source.Span);
            }
        }

        // Outside the gate: nobody who only appends waits for another sender's system call.
        return borrow ? SendBorrowed(source) : FlushAsync(cancellationToken);
    }

    /// <summary>A turn that nobody waits for.</summary>
    public void FlushSoon()
    {
        lock (Gate)
        {
            if (_sending)
                _nextTurn ??= new Turn(wire.Continuations);
            else if (_queued > 0 && _fault is null)
                StartTurn(TakeBatch(), new Turn(wire.Continuations));
        }
    }

    /// <summary>Nothing: flushes wait for the kernel alone and are cancelled by their own token.</summary>
    public override void CancelPendingFlush()
    {
    }

    /// <summary>Ends sending in order, and waits until what was written has gone out, with the FIN behind it.</summary>
    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        Complete(exception);
        while (Volatile.Read(ref _sending) && _fault is null)
            await FlushAsync().ConfigureAwait(false);
    }

    public override void Complete(Exception? exception = null)
    {
        lock (Gate)
        {
            if (_completed)
                return;
            _completed = true;
            if (exception is null && !_sending && _fault is null)
            {
                if (_head is null)
                    owner.ShutdownSendNow();
                else
                    StartTurn(TakeBatch(), new Turn(wire.Continuations));
            }
        }

        if (exception is not null)
            connection.AbortFor(CloseReason.Abort); // a FIN would tell the peer that this was all
    }

    /// <summary>Makes every present and later write fail; called once when the connection ends.</summary>
    public void Break(Exception fault)
    {
        Turn? turn;
        lock (Gate)
        {
            _fault ??= fault;
            turn = _nextTurn;
            _nextTurn = null;
            pool.ReturnChain(_head);
            _head = _tail = _lent = null;
            Volatile.Write(ref _queued, 0);
        }

        if (turn is not null)
            wire.Post(static w => w.turn.Fail(w.fault), (turn, fault));
    }

    private ValueTask<FlushResult> SendBorrowed(ReadOnlyMemory<byte> source)
    {
        try
        {
            var sent = CountSent(wire.TrySend(source));
            if (sent < source.Length)
                return SendRestBorrowedAsync(source[sent..]);
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            throw Broken(e);
        }

        EndTurn();
        return default;
    }

    private async ValueTask<FlushResult> SendRestBorrowedAsync(ReadOnlyMemory<byte> rest)
    {
        try
        {
            while (rest.Length > 0)
            {
                var waited = rest[..Math.Min(rest.Length, WaitedBytesMax)];
                rest = rest[CountSent(await wire.SendAsync(waited).ConfigureAwait(false))..];
                if (!rest.IsEmpty)
                    rest = rest[CountSent(wire.TrySend(rest))..];
            }
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            throw Broken(e);
        }

        EndTurn();
        return default;
    }

    private ValueTask<FlushResult> SendBatch(Block batch, CancellationToken cancellationToken)
    {
        try
        {
            var rest = TrySendBatch(batch, 0);
            if (rest.Block is not null)
            {
                var sending = SendRestAsync(batch, rest);
                return connection.IsOwn(cancellationToken) ? new(sending)
                    : sending.FlushedOrLeaveAsync(cancellationToken);
            }
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            pool.ReturnChain(batch);
            throw Broken(e);
        }

        pool.ReturnChain(batch);
        EndTurn();
        return default;
    }

    private async Task<FlushResult> SendRestAsync(Block batch, (Block? Block, int Skip) rest)
    {
        try
        {
            while (rest.Block is { } block)
            {
                var bytes = Math.Min(block.Filled - rest.Skip, WaitedBytesMax);
                var sent = await wire.SendAsync(block.Bytes.AsMemory(rest.Skip, bytes)).ConfigureAwait(false);
                CountSent(sent);
                rest = TrySendBatch(block, rest.Skip + sent);
            }
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            throw Broken(e);
        }
        finally
        {
            pool.ReturnChain(batch);
        }

        EndTurn();
        return default;
    }

    private (Block? Block, int Skip) TrySendBatch(Block block, int skip)
    {
        var rest = _gather.TrySend(block, skip, out var sent);
        CountSent(sent);
        return rest;
    }

    /// <summary>Gives the wire back; bytes that others appended meanwhile are sent by a turn of their own.</summary>
    private void EndTurn()
    {
        lock (Gate)
        {
            var turn = _nextTurn;
            _nextTurn = null;
            if (_queued > 0 && (turn is not null || _completed) && _fault is null)
            {
                StartTurn(TakeBatch(), turn ?? new Turn(wire.Continuations));
                return;
            }

            if (_completed && _fault is null)
                owner.ShutdownSendNow();
            Volatile.Write(ref _sending, false); // who waits for the end sees it only now
            if (turn is not null)
                wire.Post(static t => t.End(), turn);
        }
    }

    /// <summary>Not on this stack: the thread that sent its own message must not carry everybody else's.</summary>
    private void StartTurn(Block batch, Turn turn) =>
        wire.Post(static w => w.writer.RunTurn(w.batch, w.turn), (writer: this, batch, turn));

    private async void RunTurn(Block batch, Turn turn)
    {
        try
        {
            await SendBatch(batch, default).ConfigureAwait(false);
            turn.End();
        }
        catch (Exception e)
        {
            // Every waiter of this turn gets the failure; there is nobody above to tell.
            turn.Fail(e);
        }
    }

    private Block TakeBatch()
    {
        var batch = _head!;
        _head = _tail = null;
        _sending = true;
        Volatile.Write(ref _inFlight, _queued);
        Volatile.Write(ref _queued, 0);
        return batch;
    }

    private void Copy(ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            var tail = Tail(Math.Min(source.Length, BlockPool.LargeBytes), anyFree: true);
            var bytes = Math.Min(source.Length, tail.Free);
            source[..bytes].CopyTo(tail.FreeSpan);
            Fill(tail, bytes);
            source = source[bytes..];
        }
    }

    private void Fill(Block tail, int bytes)
    {
        tail.Lent = false;
        tail.Fill(bytes);
        _queued += bytes;
    }

    private Block Tail(int sizeHint, bool anyFree = false)
    {
        if (_tail is { Free: > 0 } && (anyFree ? !_tail.Lent : _tail.Free >= Math.Max(sizeHint, 1)))
            return _tail;
        var block = pool.Rent(Math.Max(sizeHint, BlockPool.SmallBytes));
        _tail?.Append(block);
        _head ??= block;
        return _tail = block;
    }

    /// <summary>Only the sender that owns the wire counts, so plain additions do.</summary>
    private int CountSent(int sent)
    {
        owner.CountSent(sent);
        Volatile.Write(ref _inFlight, _inFlight - sent);
        return sent;
    }

    private Exception Broken(Exception e)
    {
        var fault = owner.Fail("send", e);
        Volatile.Write(ref _inFlight, 0);
        Break(fault);
        return fault;
    }

    private void ThrowIfUnusable()
    {
        if (_fault is not null || _completed)
            throw connection.EndedError("send");
    }
}
