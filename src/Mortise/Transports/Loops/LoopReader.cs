using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// The receiving pipe of a <see cref="LoopConnection"/>: hands out the very buffers that the kernel filled.
/// </summary>
/// <remarks>
/// <para>It has two sides. <see cref="Inbox"/> is the loop's: what has arrived and was not asked for. The chain from
/// <c>_head</c> to <c>_tail</c> is the owner's: what it has taken and not consumed. Blocks go over when the owner asks
/// on the loop's thread, or when the loop completes a waiting read; so an owner on another thread shares no block with
/// the loop, and an owner on the loop needs no lock.</para>
/// <para><c>_state</c> says who gives the owner's blocks back at the end. The loop alone writes it, but for an owner on
/// another thread, who changes it atomically, as the end does.</para>
/// </remarks>
internal sealed class LoopReader : PipeReader, IValueTaskSource<ReadResult>
{
    private const int Idle = 0;       // nothing handed out, nobody inside
    private const int Inside = 1;     // a read waits, or a call of an owner on another thread runs
    private const int HandedOut = 2;  // a result is in the owner's hands until AdvanceTo
    private const int Retired = 3;    // over; the blocks are gone
    private const int Leaving = 4;    // over; the call inside gives the blocks back when it leaves
    private const int Giving = 5;     // as idle, but the loop hands over; an owner on another thread waits a moment

    private readonly LoopConnection _connection;
    private Inbox _inbox;
    private LoopWait _wait;
    private Block? _head;
    private Block? _tail;
    private int _headStart;
    private long _consumed;
    private int _state;
    private CancellationToken _waitToken;
    private bool _cancelRequested;
    private bool _giveMorePosted;
    private bool _hasUnexamined;
    private bool _endOfStream;

    public LoopReader(LoopConnection connection)
    {
        _connection = connection;
        _inbox = new Inbox(connection);
    }

    /// <summary>What has arrived and was not taken; the loop's thread only.</summary>
    public ref Inbox Inbox => ref _inbox;

    /// <summary>Bytes received and not yet consumed.</summary>
    public long Held => Math.Max(0, _connection.BytesReceived - Inbox.Discarded - Volatile.Read(ref _consumed));

    private EventLoop Loop => _connection.Loop;

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return _connection.IsOwn(cancellationToken)
            ? ReadOrWait(default)
            : _connection.AtHome(ReadCancellableAsync(cancellationToken));
    }

    public override bool TryRead(out ReadResult result)
    {
        Enter();
        if (Loop.IsCurrent)
            Take();
        if (!HasNews)
        {
            result = default;
            Leave();
            if (!Loop.IsCurrent && !Interlocked.Exchange(ref _giveMorePosted, true))
                Loop.Post(static r => ((LoopReader)r!).GiveMore(), this);
            return false;
        }

        result = HandOut();
        return true;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        if (!Move(HandedOut, Inside))
            return;
        if (_tail is not null)
            Advance(consumed, examined);
        Leave();
    }

    /// <summary>
    /// An echo or a relay on one loop moves blocks from pipe to pipe: no copy, and no state machine per message.
    /// </summary>
    public override Task CopyToAsync(PipeWriter destination, CancellationToken cancellationToken = default)
    {
        if (destination is not LoopWriter writer || writer.Loop != Loop || !_connection.RunsAtHome || !Loop.IsCurrent
            || !_connection.IsOwn(cancellationToken))
            return base.CopyToAsync(destination, cancellationToken);
        Enter();
        Take();
        return Inbox.RelayTo(writer, TakeChain());
    }

    public override void CancelPendingRead()
    {
        Volatile.Write(ref _cancelRequested, true);
        Loop.Post(static r => ((LoopReader)r!).Wake(), this);
    }

    /// <summary>The owner reads no more, so what it holds can be used again at once.</summary>
    public override void Complete(Exception? exception = null)
    {
        if (Move(HandedOut, Inside) || Move(Idle, Inside))
        {
            ReleaseChain();
            Leave();
        }

        if (Volatile.Read(ref _state) != Retired)
            Loop.Post(static r => ((LoopReader)r!).Retire(), this);
    }

    /// <summary>The loop has news: a waiting read completes, a relay goes on.</summary>
    public void RunReady() => Wake();

    /// <summary>Ends reading, on the loop's thread. The owner finds out when it comes back.</summary>
    public void Retire()
    {
        while (true)
        {
            var state = Volatile.Read(ref _state);
            if (state is Retired or Leaving)
                break;
            var next = state == Inside ? Leaving : Retired;
            if (Interlocked.CompareExchange(ref _state, next, state) != state)
                continue;
            if (state == Idle)
                ReleaseChain();
            else if (state == HandedOut)
                ForgetChain();
            break;
        }

        Inbox.Close();
        if (_wait.IsWaiting)
            _wait.Complete(_connection);
    }

    ReadResult IValueTaskSource<ReadResult>.GetResult(short token)
    {
        _wait.End(token);
        if (Volatile.Read(ref _state) != Inside)
        {
            Leave();
            throw Inbox.Failure ?? _connection.Ended("recv");
        }

        if (HasNews)
            return HandOut();
        Leave();
        throw Inbox.Failure ?? new OperationCanceledException("The pending read was cancelled.");
    }

    ValueTaskSourceStatus IValueTaskSource<ReadResult>.GetStatus(short token) => _wait.Status(token);

    void IValueTaskSource<ReadResult>.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _wait.OnCompleted(_connection, continuation, state, flags);

    private ValueTask<ReadResult> ReadOrWait(CancellationToken cancellationToken)
    {
        Enter();
        if (Loop.IsCurrent)
            Take();
        if (HasNews)
            return new(HandOut());
        if (Inbox.Failure is { } failure)
        {
            Leave();
            throw failure;
        }

        _waitToken = cancellationToken;
        var token = _wait.Begin();
        if (Loop.IsCurrent)
            _wait.IsWaiting = true;
        else
            Loop.Post(static r => ((LoopReader)r!).WaitHere(), this);
        return new(this, token);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<ReadResult> ReadCancellableAsync(CancellationToken cancellationToken)
    {
        using var registration = cancellationToken.UnsafeRegister(
            static r => ((LoopReader)r!).Loop.Post(static r => ((LoopReader)r!).GiveUp(), r), this);
        try
        {
            return await ReadOrWait(cancellationToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
    }

    /// <summary>A read of another thread arrives on the loop. What ended it may have been quicker.</summary>
    private void WaitHere()
    {
        _wait.IsWaiting = true;
        Wake();
        if (_wait.IsWaiting && (Volatile.Read(ref _state) != Inside || _waitToken.IsCancellationRequested))
            _wait.Complete(_connection);
    }

    private void Wake()
    {
        if (Inbox.Relay is { } relay)
            relay.GoOn();
        if (!_wait.IsWaiting)
            return;
        Take();
        if (HasNews || Inbox.Failure is not null)
            _wait.Complete(_connection);
    }

    /// <summary>
    /// The token of a read was cancelled; nothing that arrives is lost by it. That read may be over by now, and the
    /// next has a token of its own.
    /// </summary>
    private void GiveUp()
    {
        if (_wait.IsWaiting && _waitToken.IsCancellationRequested)
            _wait.Complete(_connection);
    }

    /// <summary>An owner on another thread looked in vain: the next look finds what is there now.</summary>
    private void GiveMore()
    {
        Volatile.Write(ref _giveMorePosted, false);
        if (Interlocked.CompareExchange(ref _state, Giving, Idle) != Idle)
            return;
        Take();
        Volatile.Write(ref _state, Idle);
    }

    private bool HasNews => _hasUnexamined || _endOfStream || Volatile.Read(ref _cancelRequested);

    /// <summary>What has arrived becomes the owner's; on the loop's thread, and nobody looks at the chain.</summary>
    private void Take()
    {
        var (first, last) = Inbox.TakeAll();
        if (first is null)
        {
            _endOfStream |= Inbox.IsAtEnd;
            return;
        }

        if (_tail is null)
        {
            _head = first;
            _headStart = 0;
        }
        else if (first == last && first.Filled <= Inbox.CopiedBytesMax && _tail.Free >= first.Filled)
        {
            _tail.Absorb(first);
            last = _tail;
        }
        else
        {
            _tail.Append(first);
            for (var block = first; block.NextBlock is { } next; block = next)
                block.Append(next);
        }

        _tail = last;
        _hasUnexamined = true;
    }

    private ReadResult HandOut()
    {
        var canceled = TakeCancel();
        var buffer = _tail is null
            ? ReadOnlySequence<byte>.Empty
            : new ReadOnlySequence<byte>(_head!, _headStart, _tail, _tail.Filled);
        if (Move(Inside, HandedOut))
            return new ReadResult(buffer, canceled, _endOfStream);
        Leave();
        throw _connection.Ended("recv");
    }

    private void Advance(SequencePosition consumed, SequencePosition examined)
    {
        _hasUnexamined = !(ReferenceEquals(examined.GetObject(), _tail) && examined.GetInteger() == _tail!.Filled);
        var upTo = (Block)consumed.GetObject()!;
        var freed = -_headStart + (upTo.RunningIndex - _head!.RunningIndex) + consumed.GetInteger();
        Volatile.Write(ref _consumed, _consumed + freed);
        if (upTo == _tail && consumed.GetInteger() == _tail!.Filled)
        {
            ReleaseChain();
            return;
        }

        while (_head != upTo)
        {
            var next = _head!.NextBlock;
            BlockPool.Shared.Return(_head);
            _head = next;
        }

        _headStart = consumed.GetInteger();
        if (_head == _tail)
            Shrink();
    }

    /// <summary>A few bytes of an unfinished frame must not keep a large block for as long as the rest takes.</summary>
    private void Shrink()
    {
        var left = _tail!.Filled - _headStart;
        if (left > BlockPool.SmallBytes / 4 || _tail.Bytes.Length <= BlockPool.SmallBytes)
            return;
        var small = BlockPool.Shared.Rent(BlockPool.SmallBytes);
        _tail.Bytes.AsSpan(_headStart, left).CopyTo(small.FreeSpan);
        small.Fill(left);
        BlockPool.Shared.Return(_tail);
        _head = _tail = small;
        _headStart = 0;
    }

    private (Block? First, int Start) TakeChain()
    {
        var chain = (_head, _headStart);
        _head = _tail = null;
        _hasUnexamined = false;
        return chain;
    }

    /// <summary>A relay hands on what arrives without asking the owner.</summary>
    public void CountRelayed(int bytes) => Volatile.Write(ref _consumed, _consumed + bytes);

    /// <summary>The relay is over: its owner may read again.</summary>
    public void EndRelay() => Leave();

    /// <summary>True once after <see cref="CancelPendingRead"/>.</summary>
    public bool TakeCancel() => Volatile.Read(ref _cancelRequested)
        && Interlocked.Exchange(ref _cancelRequested, false);

    private void Enter()
    {
        for (var moment = new SpinWait(); !Move(Idle, Inside) && !Move(HandedOut, Inside); moment.SpinOnce())
        {
            var state = Volatile.Read(ref _state);
            if (state == Inside)
                throw new InvalidOperationException("Two readers on one connection; a pipe has one reader at a time.");
            if (state is Retired or Leaving)
                throw _connection.Ended("recv");
        }
    }

    private void Leave()
    {
        if (Move(Inside, Idle))
            return;
        if (Volatile.Read(ref _state) != Leaving)
            return;
        ReleaseChain();
        Volatile.Write(ref _state, Retired);
    }

    /// <summary>On the loop's thread nobody else moves; elsewhere the end may come at the same moment.</summary>
    private bool Move(int from, int to)
    {
        if (!Loop.IsCurrent)
            return Interlocked.CompareExchange(ref _state, to, from) == from;
        if (_state != from)
            return false;
        _state = to;
        return true;
    }

    private void ReleaseChain()
    {
        BlockPool.Shared.ReturnChain(_head);
        _head = _tail = null;
        _headStart = 0;
        _hasUnexamined = false;
    }

    private void ForgetChain()
    {
        BlockPool.Shared.ForgetChain(_head);
        _head = _tail = null;
        _headStart = 0;
        _hasUnexamined = false;
    }
}
