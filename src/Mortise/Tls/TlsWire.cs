using System.Buffers;
using System.Net.Security;
using System.Security.Cryptography;
using System.Threading.Tasks.Sources;
using Mortise.Transports.Pipes;

namespace Mortise.Tls;

/// <summary>
/// The decrypted bytes of a connection as a wire: <see cref="SslStream"/> asked without waiting. What it can hand out
/// is found out by a read of zero bytes, which waits without a buffer; one that a reader gave up stays under way and
/// serves the next.
/// </summary>
/// <remarks>One reader and one sender at a time: <see cref="WireReader"/> and <see cref="WireWriter"/>.</remarks>
internal sealed class TlsWire : Wire, IValueTaskSource
{
    /// <summary>The most that one record carries (RFC 8446 5.1).</summary>
    private const int RecordBytesMax = 16 * 1024;

    /// <summary>More is not encrypted ahead of the wire.</summary>
    private const int WireBytesMax = 64 * 1024;

    private const int Idle = 0;      // nothing is under way
    private const int Armed = 1;     // under way, and nobody waits
    private const int Waiting = 2;   // under way, and one reader waits
    private const int Fired = 3;     // over, and nobody has read since

    private readonly Connection _connection;
    private readonly SslStream _stream;
    private readonly WireStream _bytes;
    private readonly Action _onFired;
    private ValueTask<int> _ask;
    private Exception? _failure;
    private ManualResetValueTaskSourceCore<bool> _wait;
    private int _state;
    private int _wakeRequested;

    public TlsWire(Connection connection, SslStream stream, WireStream bytes)
    {
        (_connection, _stream, _bytes) = (connection, stream, bytes);
        _onFired = OnFired;
    }

    /// <summary>The peer's close_notify was read.</summary>
    public bool PeerFinished { get; private set; }

    /// <summary>This side ended what is read, so that no close_notify is to be expected.</summary>
    private bool IsOwnEnd => _connection.InputEndedFor is not null || _connection.IsClosing
        || _connection.CloseReason is not null;

    public override int TryReceive(Memory<byte> buffer)
    {
        if (!IsReadable())
            return -1;
        if (_failure is not null)
            return Fault is { } fault ? throw fault : 0;
        Volatile.Write(ref _state, Idle);
        var read = _stream.ReadAsync(buffer);
        var received = read.IsCompleted ? read.GetAwaiter().GetResult()
            : throw new InvalidOperationException("TLS said that bytes were there, and has none.");
        if (received > 0)
            return received;
        PeerFinished = !_bytes.Ended;
        return PeerFinished || IsOwnEnd ? 0 : throw new EndOfStreamException();
    }

    public override ValueTask WaitReadableAsync()
    {
        if (Interlocked.Exchange(ref _wakeRequested, 0) == 1)
            return default;
        _wait.Reset();
        if (IsReadable() || Interlocked.CompareExchange(ref _state, Waiting, Armed) != Armed)
            return Fault is { } fault ? ValueTask.FromException(fault) : default;
        if (Volatile.Read(ref _wakeRequested) == 1)
            WakeReader();
        return new(this, _wait.Version);
    }

    public override void WakeReader()
    {
        Volatile.Write(ref _wakeRequested, 1);
        if (Interlocked.CompareExchange(ref _state, Armed, Waiting) != Waiting)
            return;
        Interlocked.Exchange(ref _wakeRequested, 0);
        // Not on this stack: who aborts, cancels or looks after timeouts must not run the reader's handler. And on a
        // loop only where that handler is at home.
        if (_connection.RunsAtHome)
            _connection.Post(static w => ((TlsWire)w!)._wait.SetResult(true), this);
        else
            ThreadPool.UnsafeQueueUserWorkItem(static w => w._wait.SetResult(true), this, preferLocal: false);
    }

    public override int TrySend(ReadOnlyMemory<byte> bytes)
    {
        var sent = 0;
        for (; sent < bytes.Length && HasRoom; sent += Math.Min(RecordBytesMax, bytes.Length - sent))
            Encrypt(bytes.Slice(sent, Math.Min(RecordBytesMax, bytes.Length - sent)));
        if (sent > 0)
            Push();
        return sent;
    }

    /// <summary>Small pieces that were written one after another share a record.</summary>
    public override int TrySend(IList<ArraySegment<byte>> buffers)
    {
        var record = ArrayPool<byte>.Shared.Rent(RecordBytesMax);
        try
        {
            var (sent, filled) = (0, 0);
            for (var (i, at) = (0, 0); i < buffers.Count && (filled > 0 || HasRoom);)
            {
                var part = buffers[i].AsSpan(at);
                part = part[..Math.Min(part.Length, RecordBytesMax - filled)];
                part.CopyTo(record.AsSpan(filled));
                filled += part.Length;
                at += part.Length;
                if (at == buffers[i].Count)
                    (i, at) = (i + 1, 0);
                if (filled < RecordBytesMax && i < buffers.Count)
                    continue;
                Encrypt(record.AsMemory(0, filled));
                (sent, filled) = (sent + filled, 0);
            }

            if (sent > 0)
                Push();
            return sent;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(record);
        }
    }

    public override async ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes)
    {
        await _connection.FlushWireAsync(default).ConfigureAwait(false);
        int sent;
        // On a loop such a flush is over at once while little waits. What it calls little need not be what leaves room
        // here, and only the kernel makes room: it gets its turn before the next try.
        while ((sent = TrySend(bytes)) == 0)
            await _connection.AtHome(_connection.FlushWireWhollyAsync(default)).ConfigureAwait(false);
        return sent;
    }

    /// <summary>close_notify, and then the end of the wire's own sending.</summary>
    public override void ShutdownSend()
    {
        try
        {
            _stream.ShutdownAsync().GetAwaiter().GetResult(); // it only queues
        }
        catch (CryptographicException)
        {
            // The stream is broken, as after a peer's end without close_notify: then ours cannot be said either.
        }

        _connection.WireOutput.Complete();
    }

    /// <summary>Frees what TLS holds; the wire is over already.</summary>
    public override void Close(bool reset) => _stream.Dispose();

    public override void Post<TState>(Action<TState> work, TState state) => _connection.Post(static s =>
    {
        var (work, state) = (Tuple<Action<TState>, TState>)s!;
        work(state);
    }, Tuple.Create(work, state));

    void IValueTaskSource.GetResult(short token) => _wait.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _wait.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _wait.OnCompleted(continuation, state, token, flags);

    private bool HasRoom => _connection.WireBytesQueued < WireBytesMax;

    /// <summary>Something can be read at once: bytes, the end, or a failure. Else the wait is under way.</summary>
    private bool IsReadable()
    {
        if (Volatile.Read(ref _state) != Idle)
            return Volatile.Read(ref _state) == Fired;
        _ask = _stream.ReadAsync(Memory<byte>.Empty);
        Volatile.Write(ref _state, Armed);
        if (_ask.IsCompleted)
            OnFired();
        else
            _ask.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(_onFired);
        return Volatile.Read(ref _state) == Fired;
    }

    private void OnFired()
    {
        try
        {
            _ask.GetAwaiter().GetResult();
        }
        catch (Exception e)
        {
            _failure = e; // the next read throws it
        }

        if (Interlocked.Exchange(ref _state, Fired) != Waiting)
            return;
        if (Fault is { } fault)
            _wait.SetException(fault);
        else
            _wait.SetResult(true);
    }

    /// <summary>What reading has failed with; an end inside a record is none where this side ended it.</summary>
    private Exception? Fault => _failure is null or ConnectionException || !_bytes.Ended ? _failure
        : IsOwnEnd ? null : new EndOfStreamException(null, _failure);

    private void Encrypt(ReadOnlyMemory<byte> bytes)
    {
        var written = _stream.WriteAsync(bytes);
        if (!written.IsCompleted)
            throw new InvalidOperationException("TLS waits for a wire that never makes it wait.");
        written.GetAwaiter().GetResult();
    }

    /// <summary>
    /// What was encrypted leaves: with the turn of a loop; elsewhere now, or behind what is on its way already.
    /// </summary>
    private void Push()
    {
        if (_connection.Home is not null || _connection.IsWireSending)
            _connection.FlushWireSoon();
        else if (_connection.FlushWireAsync(default) is { IsCompletedSuccessfully: false } flush)
            _ = QuietlyAsync(flush);
    }

    private static async Task QuietlyAsync(ValueTask flush)
    {
        try
        {
            await flush.ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // The connection is over; whoever reads or sends next is told why.
        }
    }
}
