using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Mortise.Transports.Pipes;

/// <summary>
/// The receiving pipe of a connection. It asks the wire to wait without a buffer, rents one when bytes are there, and
/// gives it back as soon as they are consumed. Nothing is read ahead: unread bytes stay in the kernel, which is the
/// back-pressure.
/// </summary>
/// <remarks>
/// <para>Invariant: the unread bytes are those from <c>_headStart</c> of <c>_head</c> to the end of <c>_tail</c>.
/// </para>
/// <para>The connection may end on another thread at any moment, also while a handler looks at what it read. Whoever
/// ends it calls <see cref="Retire"/>, and <c>_state</c> decides who gives the buffers back: the ender when nobody is
/// inside, the reader when it is inside, and the garbage collector when the bytes are in a handler's hands.</para>
/// </remarks>
internal sealed class WireReader(IWireOwner owner, Connection connection, Wire wire, BlockPool pool) : PipeReader
{
    private const int FreeBytesWorthUsing = 512;

    private const int Idle = 0;       // nothing handed out, nobody inside
    private const int Inside = 1;     // a call of the owner runs or waits
    private const int HandedOut = 2;  // a result is in the owner's hands until AdvanceTo
    private const int Retired = 3;    // over; the buffers are gone
    private const int Leaving = 4;    // over; the call inside gives the buffers back when it leaves

    private Block? _head;
    private Block? _tail;
    private int _headStart;
    private long _held;
    private int _nextBlockBytes = BlockPool.SmallBytes;
    private bool _hasUnexamined;
    private bool _lastFilledBlock;
    private bool _endOfStream;
    private volatile bool _peerFinished;
    private volatile bool _inputEnded;
    private int _cancelRequested;
    private int _state;

    /// <summary>Bytes received and not yet consumed.</summary>
    public long Held => Volatile.Read(ref _held);

    /// <summary>The peer's FIN was read; <see cref="EndInput"/> alone does not make it true.</summary>
    public bool PeerFinished => _peerFinished;

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        Enter();
        if (_hasUnexamined || _endOfStream)
            return new(HandOut());
        return connection.AtHome(connection.IsOwn(cancellationToken)
            ? ReceiveAsync(cancellationToken)
            : ReceiveCancellableAsync(cancellationToken));
    }

    public override bool TryRead(out ReadResult result)
    {
        Enter();
        try
        {
            if (!_hasUnexamined && !_endOfStream && !Receive() && Volatile.Read(ref _cancelRequested) == 0)
            {
                result = default;
                Leave();
                return false;
            }
        }
        catch
        {
            Leave();
            throw;
        }

        result = HandOut();
        return true;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (Interlocked.CompareExchange(ref _state, Inside, HandedOut) != HandedOut)
            return;
        Advance(consumed, examined);
        Leave();
    }

    private void Advance(SequencePosition consumed, SequencePosition examined)
    {
        if (_tail is null)
            return;
        _hasUnexamined = !(ReferenceEquals(examined.GetObject(), _tail) && examined.GetInteger() == _tail.Filled);

        var upTo = (Block)consumed.GetObject()!;
        var freed = -_headStart + (upTo.RunningIndex - _head!.RunningIndex) + consumed.GetInteger();
        Volatile.Write(ref _held, _held - freed);
        if (_held == 0)
        {
            ReleaseAll();
            return;
        }

        while (_head != upTo)
        {
            var next = _head!.NextBlock;
            pool.Return(_head);
            _head = next;
        }

        _headStart = consumed.GetInteger();
    }

    /// <summary>
    /// What the base class does, with one state machine per connection instead of one more per wait: an echo or a relay
    /// is this loop and nothing else.
    /// </summary>
    public override Task CopyToAsync(PipeWriter destination, CancellationToken cancellationToken = default) =>
        connection.IsOwn(cancellationToken)
            ? CopyReceivedAsync(destination, cancellationToken)
            : base.CopyToAsync(destination, cancellationToken);

    public override void CancelPendingRead()
    {
        Volatile.Write(ref _cancelRequested, 1);
        wire.WakeReader();
    }

    /// <summary>
    /// From now on nobody waits for this peer: what has arrived can still be read, then the stream ends. The soft half
    /// of a drain.
    /// </summary>
    public void EndInput()
    {
        _inputEnded = true;
        wire.WakeReader();
    }

    /// <summary>The owner reads no more, so what it holds can be used again at once.</summary>
    public override void Complete(Exception? exception = null)
    {
        if (Interlocked.CompareExchange(ref _state, Retired, HandedOut) == HandedOut)
            ReleaseAll();
        else
            Retire();
    }

    /// <summary>Ends reading from any thread; false when a call of the owner is still inside.</summary>
    public bool Retire()
    {
        while (true)
        {
            var state = Volatile.Read(ref _state);
            var next = state == Inside ? Leaving : Retired;
            if (state is Retired or Leaving)
                return state == Retired;
            if (Interlocked.CompareExchange(ref _state, next, state) != state)
                continue;
            if (state == Idle)
                ReleaseAll();
            else if (state == HandedOut)
                ForgetAll();
            return state != Inside;
        }
    }

    private void Enter()
    {
        var state = Interlocked.CompareExchange(ref _state, Inside, Idle);
        if (state == HandedOut)
            state = Interlocked.CompareExchange(ref _state, Inside, HandedOut) == HandedOut ? Idle : Retired;
        if (state == Inside)
            throw new InvalidOperationException("Two readers on one connection; a pipe has one reader at a time.");
        if (state != Idle)
            throw connection.EndedError("recv");
    }

    private void Leave()
    {
        if (Interlocked.CompareExchange(ref _state, Idle, Inside) == Inside)
            return;
        ReleaseAll();
        Volatile.Write(ref _state, Retired);
    }

    private ReadResult HandOut()
    {
        var result = Result();
        if (Interlocked.CompareExchange(ref _state, HandedOut, Inside) == Inside)
            return result;
        Leave();
        throw connection.EndedError("recv");
    }

    private async ValueTask<ReadResult> ReceiveCancellableAsync(CancellationToken cancellationToken)
    {
        await using var registration = cancellationToken.UnsafeRegister(static s => ((Wire)s!).WakeReader(), wire)
            .ConfigureAwait(false);
        return await ReceiveAsync(cancellationToken).ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadResult> ReceiveAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (!HasNews())
            {
                if (!_inputEnded)
                    await wire.WaitReadableAsync().ConfigureAwait(false);
                ReceiveAfterWait(cancellationToken);
            }
        }
        catch (Exception e)
        {
            LeaveFailed(e);
            throw;
        }

        return HandOut();
    }

    private async Task CopyReceivedAsync(PipeWriter destination, CancellationToken cancellationToken)
    {
        ReadResult result;
        do
        {
            cancellationToken.ThrowIfCancellationRequested();
            Enter();
            try
            {
                while (!HasNews())
                {
                    if (!_inputEnded)
                        await wire.WaitReadableAsync().ConfigureAwait(false);
                    ReceiveAfterWait(cancellationToken);
                }
            }
            catch (Exception e)
            {
                LeaveFailed(e);
                throw;
            }

            result = HandOut();
            var consumed = result.Buffer.Start;
            try
            {
                if (result.IsCanceled)
                    throw new OperationCanceledException("The pending read was cancelled.");
                var next = consumed;
                while (result.Buffer.TryGet(ref next, out var bytes))
                {
                    if (bytes.IsEmpty)
                        continue;
                    var flushed = await destination.WriteAsync(bytes, cancellationToken).ConfigureAwait(false);
                    if (flushed.IsCanceled)
                        throw new OperationCanceledException("The pending flush was cancelled.");
                    consumed = next.GetObject() is null ? result.Buffer.End : next;
                    if (flushed.IsCompleted)
                        return;
                }
            }
            finally
            {
                AdvanceTo(consumed);
            }
        }
        while (!result.IsCompleted);
    }

    /// <summary>Something to hand out: bytes not looked at, the end, or a cancelled read.</summary>
    private bool HasNews() => _hasUnexamined || _endOfStream || Volatile.Read(ref _cancelRequested) == 1
        // A block that was filled to the brim usually has more behind it: look before waiting.
        || (_lastFilledBlock && Receive());

    private void ReceiveAfterWait(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        connection.ThrowIfEnded("recv");
        Receive();
    }

    /// <summary>Leaves; throws the connection's own exception when the wire failed, else the caller rethrows.</summary>
    private void LeaveFailed(Exception error)
    {
        try
        {
            if (Wire.IsFailure(error) && error is not ConnectionException)
                throw owner.Fail("recv", error);
        }
        finally
        {
            Leave();
        }
    }

    /// <summary>Takes what is there; false when nothing is, and the stream goes on.</summary>
    private bool Receive()
    {
        var block = _tail is { Free: >= FreeBytesWorthUsing } ? _tail : pool.Rent(_nextBlockBytes);
        var free = block.Free;
        int received;
        try
        {
            received = wire.TryReceive(block.FreeMemory);
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            if (block != _tail)
                pool.Return(block);
            throw owner.Fail("recv", e);
        }

        if (received <= 0)
        {
            if (block != _tail)
                pool.Return(block);
            _lastFilledBlock = false;
            _peerFinished |= received == 0;
            _endOfStream |= _peerFinished || _inputEnded;
            return _endOfStream;
        }

        Keep(block, received);
        AdaptBlockSize(block, received, filled: received == free);
        return true;
    }

    private void Keep(Block block, int received)
    {
        block.Fill(received);
        if (_tail is null)
        {
            _head = block;
            _headStart = 0;
        }
        else if (block != _tail)
        {
            _tail.Append(block);
        }

        _tail = block;
        _hasUnexamined = true;
        Volatile.Write(ref _held, _held + received);
        owner.CountReceived(received);
    }

    private void AdaptBlockSize(Block block, int received, bool filled)
    {
        _lastFilledBlock = filled;
        if (filled && _nextBlockBytes < BlockPool.LargeBytes)
            _nextBlockBytes *= 4;
        else if (received < block.Bytes.Length / 16 && _nextBlockBytes > BlockPool.SmallBytes)
            _nextBlockBytes /= 4;
    }

    private ReadResult Result()
    {
        // Looks first: a read costs nothing, and nearly nobody ever cancels.
        var canceled = Volatile.Read(ref _cancelRequested) == 1 && Interlocked.Exchange(ref _cancelRequested, 0) == 1;
        var buffer = _tail is null
            ? ReadOnlySequence<byte>.Empty
            : new ReadOnlySequence<byte>(_head!, _headStart, _tail, _tail.Filled);
        return new ReadResult(buffer, canceled, _endOfStream);
    }

    private void ReleaseAll()
    {
        pool.ReturnChain(_head);
        Empty();
    }

    private void ForgetAll()
    {
        pool.ForgetChain(_head);
        Empty();
    }

    private void Empty()
    {
        _head = _tail = null;
        _headStart = 0;
        _hasUnexamined = false;
        Volatile.Write(ref _held, 0);
    }
}
