using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Mortise.Errors;
using Mortise.Transports;

namespace Mortise;

/// <summary>
/// One stream of bytes between this process and a peer: a pipe in and a pipe out, over any transport. Bytes arrive in
/// order and without holes, but in pieces of any size; whoever needs messages puts a framing rule on top.
/// </summary>
/// <example><code>await SocketServer.RunAsync(":7007", c => c.Input.CopyToAsync(c.Output, c.Closed));</code></example>
public abstract partial class Connection : IAsyncDisposable
{
    private static readonly StrongBox<long> s_noTicks = new();
    private static readonly CancellationTokenSource s_over = Over();
    /// <summary>What a close reads and throws away at a time, and at most.</summary>
    private protected const int DiscardBytes = 16 * 1024;
    private protected const long DiscardedBytesMax = 64 * 1024 * 1024;

    private static long s_lastId;

    private readonly long _startedTicks;
    private CancellationTokenSource? _closed;
    private IConnectionOwner? _owner;
    private int _reason = -1;
    private int _inputEnd = -1;
    private StrongBox<long> _ticks = s_noTicks;
    private long _bytesReceived;
    private long _bytesSent;
    private int _receivedTick;
    private int _sentTick;
    private Frames? _frames;

    private protected Connection(Endpoint local, Endpoint remote, TimeProvider time)
    {
        LocalEndpoint = local;
        RemoteEndpoint = remote;
        Time = time;
        _startedTicks = time.GetUtcNow().Ticks;
    }

    /// <summary>Unique in this process, counted from 1.</summary>
    public long Id { get; } = Interlocked.Increment(ref s_lastId);

    /// <summary>This side's address; behind a proxy the one that the peer connected to (<see cref="Proxy"/>).</summary>
    public Endpoint LocalEndpoint { get; private set; }

    /// <summary>
    /// The peer's address, behind a proxy the one that it told; a v4 peer of a dual-stack listener shows as v4.
    /// </summary>
    public Endpoint RemoteEndpoint { get; private set; }

    /// <summary>When the connection was accepted or made.</summary>
    public DateTimeOffset StartedAt => new(_startedTicks, TimeSpan.Zero);

    /// <summary>What the peer sends. One reader at a time.</summary>
    /// <remarks>
    /// Reading throws <see cref="ConnectionException"/> on a reset; an orderly end completes the pipe.
    /// </remarks>
    public PipeReader Input => _layer is { } layer ? layer.Input : WireInput;

    /// <summary>
    /// What goes to the peer. A flush completes when the kernel has taken the bytes, which is not yet delivery.
    /// <c>WriteAsync</c> may be called from any thread; a writer that uses <c>GetMemory</c>…<c>Advance</c> must be the
    /// only one. Completing it is a half-close (<see cref="ShutdownSendAsync"/>); completing it with an exception says
    /// that what was sent is not the whole, and resets the connection as <see cref="Abort"/> does.
    /// </summary>
    public PipeWriter Output => _layer is { } layer ? layer.Output : WireOutput;

    /// <summary>
    /// Cancelled when the connection is over in both directions, for whatever <see cref="CloseReason"/>.
    /// </summary>
    public CancellationToken Closed
    {
        get
        {
            if (_closed is null)
                Interlocked.CompareExchange(ref _closed, new CancellationTokenSource(), null);
            return _closed.Token;
        }
    }

    /// <summary>Why the connection ended, or null while it lives. The first reason stays.</summary>
    public CloseReason? CloseReason => Volatile.Read(ref _reason) is var reason and >= 0 ? (CloseReason)reason : null;

    /// <summary>Bytes received from the kernel so far.</summary>
    public long BytesReceived => Volatile.Read(ref _bytesReceived);

    /// <summary>Bytes the kernel has taken so far.</summary>
    public long BytesSent => Volatile.Read(ref _bytesSent);

    /// <summary>Bytes received that the handler has not consumed.</summary>
    public long BytesHeld => WireBytesHeld + (_layer?.BytesHeld ?? 0);

    /// <summary>Bytes written that the kernel has not taken: what a slow reader costs.</summary>
    public long BytesQueued => WireBytesQueued + (_layer?.BytesQueued ?? 0);

    /// <summary>
    /// Bytes are offered to the kernel, which has not taken them: not those that the writer has not flushed.
    /// </summary>
    internal bool IsSending => IsWireSending || _layer?.IsSending == true;

    /// <summary>The clock of this connection's timeouts.</summary>
    internal TimeProvider Time { get; }

    /// <summary>
    /// <see cref="InputBytesReceived"/> at which a frame began that is not whole yet, or -1. Sessions write it, the
    /// server's watch reads it.
    /// </summary>
    internal long FrameBegunAt
    {
        get => _frames is { } frames ? Volatile.Read(ref frames.BegunAt) : -1;
        set
        {
            if (FrameBegunAt == value)
                return;
            var frames = _frames ??= new Frames();
            frames.BegunTick = (int)_ticks.Value;   // first: a new frame is never seen with an old tick
            Volatile.Write(ref frames.BegunAt, value);
        }
    }

    /// <summary>What the server that serves this connection knows of it; its own.</summary>
    internal object? Record { get; set; }

    /// <summary>The tick at which bytes came last.</summary>
    internal long ReceivedTick => TickOf(_receivedTick);

    /// <summary>The tick at which the kernel took bytes last.</summary>
    internal long SentTick => TickOf(_sentTick);

    /// <summary>The tick at which <see cref="FrameBegunAt"/> changed.</summary>
    internal long FrameTick => TickOf(_frames?.BegunTick ?? 0);

    /// <summary>Whole frames a session has read.</summary>
    internal long FramesReceived
    {
        get => _frames?.Received ?? 0;
        set => (_frames ??= new Frames()).Received = value;
    }

    /// <summary>
    /// The thread that this connection's code runs on and returns to, the same object for all that share it; null where
    /// that is the thread pool.
    /// </summary>
    internal virtual object? Home => null;

    /// <summary>The caller is on that thread.</summary>
    internal virtual bool IsHomeThread => false;

    /// <summary>Its code runs on the loop where it lives, and comes back to it.</summary>
    internal bool RunsAtHome { get; set; }

    /// <summary>Bytes are received before a reader asks.</summary>
    internal virtual bool ReceivesAhead => false;

    /// <summary>Who is told that the descriptor has been freed.</summary>
    internal IConnectionOwner? Owner => _owner;

    /// <summary>The descriptor may be gone already: then the owner is told at once.</summary>
    internal void Adopt(IConnectionOwner owner)
    {
        if (Interlocked.CompareExchange(ref _owner, owner, null) is not null)
            owner.Released();
    }

    /// <summary>
    /// Sends all of <paramref name="bytes"/>, whole and in order with other senders, from any thread.
    /// </summary>
    /// <exception cref="ConnectionException">The connection is over; it carries the <see
    /// cref="CloseReason"/>.</exception>
    public ValueTask SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken = default)
    {
        try
        {
            return _layer is { } layer ? Flushed(layer.Output.WriteAsync(bytes, cancellationToken))
                : SendOneAsync(bytes, cancellationToken);
        }
        catch (Exception e)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <summary>
    /// Sends several buffers as one piece with one gathered system call (<c>sendmsg(2)</c>), from any thread.
    /// </summary>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public ValueTask SendAsync(ReadOnlySequence<byte> bytes, CancellationToken cancellationToken = default)
    {
        try
        {
            return _layer is null ? SendPiecesAsync(bytes, cancellationToken)
                : SendTogetherAsync(bytes, cancellationToken);
        }
        catch (Exception e)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <summary>
    /// Half-close (<c>shutdown(2)</c>, FIN): the peer reads end of stream after what was written; receiving goes on.
    /// </summary>
    public ValueTask ShutdownSendAsync() => _layer is { } layer ? FinishAsync(layer) : WireOutput.CompleteAsync();

    /// <summary>
    /// Ends the connection in order: what was written is sent, then FIN; then what the peer still sends is read and
    /// thrown away for at most <paramref name="linger"/>, because closing with unread bytes makes the kernel send RST,
    /// which can destroy the reply in the peer's hands.
    /// </summary>
    /// <param name="reason">What <see cref="CloseReason"/> will say if nothing else ended the connection
    /// before.</param>
    /// <param name="flushTimeout">The most time given to unsent bytes, after which the connection is aborted.</param>
    /// <param name="linger">The most time given to the peer to finish; zero reads only what is already there.</param>
    /// <exception cref="ArgumentOutOfRangeException">The reason is one that only the engine can know, or
    /// <see cref="CloseReason.Abort"/>, which this is not.</exception>
    public ValueTask CloseAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger) =>
        CloseForAsync(reason.Given(), flushTimeout, linger);

    /// <summary>
    /// Ends the connection now: unsent bytes are lost and the peer sees a reset (RST); over a Unix socket, which knows
    /// none (<c>unix(7)</c>), an end.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">The reason is one that only the engine can know.</exception>
    public void Abort(CloseReason reason = Mortise.CloseReason.Abort) =>
        AbortFor(reason == Mortise.CloseReason.Abort ? reason : reason.Given());

    /// <summary>
    /// Nobody waits for this peer any more: bytes that already arrived can still be read, then <see cref="Input"/>
    /// completes as at end of stream, so that the handler can answer and leave. The soft half of a drain.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">As with <see cref="CloseAsync"/>.</exception>
    public void EndInput(CloseReason reason) => EndInputFor(reason.Given());

    /// <summary>A close in order has begun: it sends what was written, and then waits for the peer's end.</summary>
    internal bool IsClosing => IsWireClosing || _layer?.Closing is not null;

    /// <summary><see cref="CloseAsync"/> for any reason.</summary>
    internal ValueTask CloseForAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger) =>
        _layer is { } layer ? CloseAfter(layer, reason, flushTimeout, linger)
        : CloseWireAsync(reason, flushTimeout, linger);

    /// <summary><see cref="Abort"/> for any reason.</summary>
    internal abstract void AbortFor(CloseReason reason);

    /// <summary><see cref="EndInput"/> for any reason.</summary>
    internal abstract void EndInputFor(CloseReason reason);

    /// <summary>Closes in order within 5 seconds; see <see cref="CloseAsync"/>.</summary>
    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return CloseAsync(Mortise.CloseReason.Local, TimeSpan.FromSeconds(5), TimeSpan.Zero);
    }

    /// <summary>
    /// Nothing but this connection's end cancels the token. The end wakes every wait anyway, so such a token needs no
    /// registration, and memory may be lent to the kernel: nobody can take it back before the send is over.
    /// </summary>
    internal bool IsOwn(CancellationToken token) =>
        !token.CanBeCanceled || _closed is { } closed && token == closed.Token;

    /// <summary>The socket under the connection, or null (memory transport).</summary>
    internal virtual Socket? Socket => null;

    /// <summary>
    /// For a call of this library that waits inside: code on the connection's home goes on there, without a detour.
    /// </summary>
    internal virtual ValueTask<T> AtHome<T>(ValueTask<T> call) => call;

    internal virtual ValueTask AtHome(ValueTask call) => call;

    /// <summary>Begins to serve, at once or soon, on the connection's home or on the thread pool.</summary>
    internal virtual void Start(Action<Connection> serve, bool atHome) =>
        ThreadPool.UnsafeQueueUserWorkItem(static s => s.serve(s.connection), (serve, connection: this), false);

    /// <summary>Runs work soon where this connection lives, never on the caller's stack.</summary>
    internal virtual void Post(SendOrPostCallback work, object? state) =>
        ThreadPool.UnsafeQueueUserWorkItem(static s => s.work(s.state), (work, state), preferLocal: false);

    /// <summary>
    /// From now on the connection notes at which of a server's ticks bytes moved: a store beside the count, and nothing
    /// else that timeouts cost while bytes flow.
    /// </summary>
    internal void NoteTicks(StrongBox<long> ticks)
    {
        _ticks = ticks;
        _receivedTick = _sentTick = (int)ticks.Value;
    }

    internal void CountReceived(int bytes)
    {
        Volatile.Write(ref _bytesReceived, _bytesReceived + bytes);
        _receivedTick = (int)_ticks.Value;
    }

    internal void CountSent(int bytes)
    {
        Volatile.Write(ref _bytesSent, _bytesSent + bytes);
        _sentTick = (int)_ticks.Value;
    }

    internal void ThrowIfEnded(string operation)
    {
        if (CloseReason is not null)
            throw EndedError(operation);
    }

    /// <summary>The one typed exception for use after the end.</summary>
    internal ConnectionException EndedError(string operation) =>
        Failures.Closed(operation, RemoteEndpoint.ToString(), CloseReason ?? Mortise.CloseReason.Local);

    /// <summary>Why nobody waits for the peer any more, or null.</summary>
    internal CloseReason? InputEndedFor => Volatile.Read(ref _inputEnd) is var end and >= 0 ? (CloseReason)end : null;

    /// <summary>Remembers who first said that nobody waits for the peer any more.</summary>
    private protected void NoteInputEnd(CloseReason reason) =>
        Interlocked.CompareExchange(ref _inputEnd, (int)reason, -1);

    /// <summary>
    /// Whoever ended the input is why a handler left, and why a frame was cut off; a fault of the handler or of the
    /// peer's bytes stands for itself.
    /// </summary>
    private protected CloseReason Explained(CloseReason reason, bool peerFinished) => reason switch
    {
        Mortise.CloseReason.Local or Mortise.CloseReason.UnexpectedEof when _inputEnd >= 0 => (CloseReason)_inputEnd,
        Mortise.CloseReason.Local when peerFinished => Mortise.CloseReason.Eof,
        _ => reason,
    };

    /// <summary>
    /// Remembers the first reason; true for the caller that ended the connection. <see cref="Closed"/> follows in
    /// <see cref="AnnounceEnd"/>, after the transport has let go of the descriptor.
    /// </summary>
    private protected bool TryEnd(CloseReason reason) =>
        Interlocked.CompareExchange(ref _reason, (int)reason, -1) == -1;

    /// <summary>
    /// The whole of a tick. Half of each is kept, for every connection has some. One so old that half is not enough (68
    /// years, or 248 days where a tick is 10 ms) counts as new, not as over.
    /// </summary>
    internal long TickOf(int tick)
    {
        var now = _ticks.Value;
        return now - Math.Max((int)now - tick, 0);
    }

    private static CancellationTokenSource Over()
    {
        var over = new CancellationTokenSource();
        over.Cancel();
        return over;
    }

    /// <summary>The descriptor is free.</summary>
    private protected void TellOwner() => Interlocked.Exchange(ref _owner, Orphaned.Instance)?.Released();

    private protected void AnnounceEnd()
    {
        try
        {
            Interlocked.CompareExchange(ref _closed, s_over, null)?.Cancel();
        }
        catch (AggregateException)
        {
            // A callback on the token threw. That is its owner's fault to find; the end goes on for everybody else.
        }
    }

    /// <summary>Only where a session counts.</summary>
    private sealed class Frames
    {
        public long BegunAt = -1;
        public long Received;
        public int BegunTick;
        public int ActiveTick;
        public bool TellsActivity;
        public bool IsAtWork;
    }
}
