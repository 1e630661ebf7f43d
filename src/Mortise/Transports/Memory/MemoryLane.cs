using System.Net.Sockets;

namespace Mortise.Transports.Memory;

/// <summary>
/// One direction of a connection in this process. It behaves as a kernel's socket buffer does: bounded, in order,
/// indifferent to message boundaries; and it is where the faults happen.
/// </summary>
internal sealed class MemoryLane
{
    private const int BufferedBytesMax = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly Queue<(ReadOnlyMemory<byte> Bytes, long ReadableAt)> _parts = new();
    private readonly NetworkFaults _faults;
    private readonly TimeProvider _time;
    private readonly Action<Action> _post;
    private ReadOnlyMemory<byte> _current;
    private TaskCompletionSource? _reader;
    private TaskCompletionSource? _writer;
    private ITimer? _arrival;
    private long _buffered;
    private long _carried;
    private bool _woken;
    private bool _finished;
    private bool _reset;

    public MemoryLane(NetworkFaults faults, TimeProvider time, Action<Action> post)
    {
        _faults = faults;
        _time = time;
        _post = post;
        faults.Healed += SignalReader;
    }

    public int Take(Span<byte> target)
    {
        lock (_gate)
        {
            ThrowIfReset();
            if (_faults.ReadsStalled)
                return -1;
            var taken = 0;
            while (taken < target.Length && (!_current.IsEmpty || TryNextPart()))
            {
                var bytes = Math.Min(target.Length - taken, _current.Length);
                var fragment = _faults.Fragment(bytes);
                _current.Span[..fragment].CopyTo(target[taken..]);
                _current = _current[fragment..];
                taken += fragment;
                if (fragment < bytes || _faults.IsFragmenting)
                    break;
            }

            if (taken == 0)
                return _finished && _parts.Count == 0 ? 0 : -1;
            _buffered -= taken;
            Signal(ref _writer);
            return taken;
        }
    }

    public int Put(ReadOnlySpan<byte> source)
    {
        lock (_gate)
        {
            ThrowIfReset();
            if (_finished)
                throw new SocketException((int)SocketError.Shutdown);
            var bytes = (int)Math.Min(source.Length, BufferedBytesMax - _buffered);
            if (bytes <= 0)
                return 0;
            _carried += bytes;
            if (_carried > _faults.ResetAfterBytes)
            {
                ResetUnderGate();
                ThrowIfReset();
            }

            _parts.Enqueue((source[..bytes].ToArray(), _time.GetTimestamp() + Ticks(_faults.Delay)));
            _buffered += bytes;
            SignalReaderUnderGate();
            return bytes;
        }
    }

    public ValueTask WaitReadableAsync()
    {
        lock (_gate)
        {
            var something = !_faults.ReadsStalled
                && (!_current.IsEmpty || IsArrived() || _finished && _parts.Count == 0);
            if (_woken || _reset || something)
            {
                _woken = false;
                return default;
            }

            _reader ??= new TaskCompletionSource();
            if (_parts.Count > 0 && !IsArrived())
                SetArrival();
            return new ValueTask(_reader.Task);
        }
    }

    public ValueTask WaitWritableAsync()
    {
        lock (_gate)
        {
            if (_reset || _finished || _buffered < BufferedBytesMax)
                return default;
            _writer ??= new TaskCompletionSource();
            return new ValueTask(_writer.Task);
        }
    }

    public void Wake()
    {
        lock (_gate)
        {
            _woken = _reader is null;
            Signal(ref _reader);
        }
    }

    public void Finish()
    {
        lock (_gate)
        {
            _finished = true;
            SignalReaderUnderGate();
        }
    }

    public void Reset()
    {
        lock (_gate)
            ResetUnderGate();
    }

    private void ResetUnderGate()
    {
        _reset = true;
        _faults.Healed -= SignalReader;
        _arrival?.Dispose();
        Signal(ref _reader);
        Signal(ref _writer);
    }

    private void SignalReader()
    {
        lock (_gate)
            SignalReaderUnderGate();
    }

    private void SignalReaderUnderGate()
    {
        if (!_current.IsEmpty || _parts.Count == 0 || IsArrived())
            Signal(ref _reader);
        else
            SetArrival();
    }

    /// <summary>The part in front comes later; who waits then must be told, though nothing else happens.</summary>
    private void SetArrival()
    {
        var left = TimeSpan.FromTicks(Math.Max(0, _parts.Peek().ReadableAt - _time.GetTimestamp())
            * TimeSpan.TicksPerSecond / _time.TimestampFrequency);
        _arrival ??= _time.CreateTimer(static s => ((MemoryLane)s!).SignalReader(), this, left,
            Timeout.InfiniteTimeSpan);
        _arrival.Change(left, Timeout.InfiniteTimeSpan);
    }

    private bool IsArrived() => _parts.Count > 0 && _parts.Peek().ReadableAt <= _time.GetTimestamp();

    private bool TryNextPart()
    {
        if (!IsArrived())
            return false;
        _current = _parts.Dequeue().Bytes;
        return true;
    }

    private long Ticks(TimeSpan delay) => (long)(delay.TotalSeconds * _time.TimestampFrequency);

    /// <summary>Continuations run where the network posts them, never under this lock.</summary>
    private void Signal(ref TaskCompletionSource? waiter)
    {
        if (waiter is not { } waiting)
            return;
        waiter = null;
        _post(() => waiting.TrySetResult());
    }

    private void ThrowIfReset()
    {
        if (_reset)
            throw new SocketException((int)SocketError.ConnectionReset);
    }
}
