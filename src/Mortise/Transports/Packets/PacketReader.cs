using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Threading.Tasks.Sources;
using Mortise.Telemetry;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>What became of a packet that came.</summary>
internal enum Intake
{
    Taken,

    /// <summary>So much waits for the handler already.</summary>
    Full,

    /// <summary>Nobody reads any more.</summary>
    Over,
}

/// <summary>
/// The receiving pipe of a connection of packets: a read gives bytes of one packet, never of two. What a reader has
/// looked at to its end and not consumed is dropped with it: no more bytes of that packet will come.
/// </summary>
/// <remarks>
/// Packets are copied one behind the other into pooled blocks, so that small ones cost little while they wait; a block
/// goes back when its last packet was consumed, and an idle connection holds none.
/// </remarks>
internal sealed class PacketReader(PacketConnection connection, BlockPool pool) : PipeReader, IValueTaskSource
{
    /// <summary>What may wait for the handler, as for a stream.</summary>
    public const int WaitingBytesMax = 64 * 1024;

    /// <summary>What a waiting packet costs besides its bytes.</summary>
    private const int PacketOverheadBytes = 32;

    private readonly Lock _gate = new();
    private readonly Queue<Packet> _packets = [];
    private ManualResetValueTaskSourceCore<bool> _news = new() { RunContinuationsAsynchronously = true };
    private TaskCompletionSource? _room;
    private Block? _tail;
    private Packet _current;
    private long _held;
    private int _waitingBytes;
    private bool _handedOut, _waiting, _hasNews, _canceled, _inputEnded, _over;
    private Exception? _fault;

    /// <summary>Bytes received and not yet consumed.</summary>
    public long Held => Volatile.Read(ref _held);

    /// <summary>So much waits that nothing should be received for now.</summary>
    public bool IsFull
    {
        get
        {
            lock (_gate)
                return _waitingBytes >= WaitingBytesMax && !_over && !_inputEnded;
        }
    }

    /// <summary>Takes a copy of a packet that is not empty. One fits always.</summary>
    public Intake TryAdd(ReadOnlySpan<byte> packet, bool mustFit = true)
    {
        lock (_gate)
        {
            if (_over || _inputEnded)
                return Intake.Over;
            var cost = packet.Length + PacketOverheadBytes;
            if (mustFit && _packets.Count > 0 && _waitingBytes + cost > WaitingBytesMax)
                return Intake.Full;
            if (_tail is null || _tail.Free < packet.Length)
                _tail = pool.Rent(packet.Length);
            _packets.Enqueue(new(_tail, _tail.Filled, packet.Length));
            packet.CopyTo(_tail.FreeSpan);
            _tail.Fill(packet.Length);
            _waitingBytes += cost;
            Volatile.Write(ref _held, _held + packet.Length);
        }

        Wake();
        return Intake.Taken;
    }

    /// <summary>Ends when a full reader has room again, or is over.</summary>
    public Task RoomAsync()
    {
        lock (_gate)
        {
            if (_over || _inputEnded || _waitingBytes <= WaitingBytesMax / 2)
                return Task.CompletedTask;
            return (_room ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
        }
    }

    public override bool TryRead(out ReadResult result)
    {
        lock (_gate)
        {
            if (_over)
                throw _fault ?? connection.EndedError("recv");
            if (_current.Block is null && _packets.TryDequeue(out _current))
                TakeFromWaiting();
            var (canceled, ended) = (_canceled, _current.Block is null && _inputEnded);
            _canceled = false;
            if (_current.Block is null && !ended && !canceled)
            {
                result = default;
                return false;
            }

            _handedOut = true;
            result = new(_current.Bytes, canceled, ended);
            return true;
        }
    }

    public override ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return TryRead(out var result) ? new(result) : WaitAsync(cancellationToken);
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        lock (_gate)
        {
            if (!_handedOut)
                return;
            _handedOut = false;
            if (_current.Block is not { } block || consumed.GetObject() != block.Bytes)
                return;
            var end = _current.Start + _current.Length;
            Volatile.Write(ref _held, _held - (consumed.GetInteger() - _current.Start));
            _current = new(block, consumed.GetInteger(), end - consumed.GetInteger());
            if (examined.GetInteger() < end)
                return;
            if (_current.Length > 0)
                connection.CountDropped(DropReason.BadFrame);
            LetGo();
        }
    }

    public override void CancelPendingRead()
    {
        lock (_gate)
            _canceled = true;
        Wake();
    }

    /// <summary>What has arrived can still be read, then comes the end.</summary>
    public void EndInput()
    {
        lock (_gate)
        {
            _inputEnded = true;
            _room?.TrySetResult();
        }

        Wake();
    }

    /// <summary>The owner reads no more.</summary>
    public override void Complete(Exception? exception = null)
    {
        lock (_gate)
            _handedOut = false;
        Retire(null);
    }

    /// <summary>Ends reading from any thread; a reader that looks at a packet keeps its bytes.</summary>
    public void Retire(Exception? fault)
    {
        lock (_gate)
        {
            if (_over)
                return;
            (_over, _fault) = (true, fault);
            if (_handedOut && _current.Block is { } inHands)
                inHands.Lent = true;
            while (_current.Block is not null || _packets.TryDequeue(out _current))
                LetGo();
            _room?.TrySetResult();
        }

        Wake();
    }

    void IValueTaskSource.GetResult(short token) => _news.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _news.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _news.OnCompleted(continuation, state, token, flags);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))] // a wait for each packet, without an allocation
    private async ValueTask<ReadResult> WaitAsync(CancellationToken cancellationToken)
    {
        using var registration = connection.IsOwn(cancellationToken) ? default
            : cancellationToken.UnsafeRegister(static r => ((PacketReader)r!).Wake(), this);
        ReadResult result;
        while (!TryRead(out result))
        {
            await NewsAsync().ConfigureAwait(false);
            cancellationToken.ThrowIfCancellationRequested();
        }

        return result;
    }

    private ValueTask NewsAsync()
    {
        lock (_gate)
        {
            if (_waiting)
                throw new InvalidOperationException("Two readers wait on one connection; a pipe has one reader.");
            if (_hasNews)
            {
                _hasNews = false;
                return default;
            }

            _waiting = true;
            _news.Reset();
            return new(this, _news.Version);
        }
    }

    private void Wake()
    {
        lock (_gate)
        {
            if (!_waiting)
            {
                _hasNews = true;
                return;
            }

            _waiting = false;
        }

        _news.SetResult(true);
    }

    private void TakeFromWaiting()
    {
        _waitingBytes -= _current.Length + PacketOverheadBytes;
        if (_room is null || _waitingBytes > WaitingBytesMax / 2)
            return;
        _room.TrySetResult();
        _room = null;
    }

    /// <summary>The packet is done with, and its block where it was the last in it.</summary>
    private void LetGo()
    {
        var (block, rest) = (_current.Block!, _current.Length);
        Volatile.Write(ref _held, _held - rest);
        _current = default;
        if (_packets.TryPeek(out var next) && next.Block == block)
            return;
        if (_tail == block)
            _tail = null;
        pool.Return(block);
    }

    /// <summary>Bytes of an array, not of the block: others are appended to that meanwhile.</summary>
    private readonly record struct Packet(Block? Block, int Start, int Length)
    {
        public ReadOnlySequence<byte> Bytes => Block is null ? default : new(Block.Bytes, Start, Length);
    }
}
