using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// A connection that lives on one <see cref="EventLoop"/>: its descriptor, its two pipes, and its end. Whoever is on
/// another thread posts; the first reason to end is recorded at once, what follows from it happens on the loop.
/// </summary>
internal sealed class LoopConnection : Connection
{
    private const int DiscardedBytesPerTurn = 64 * 1024;

    private readonly LoopReader _reader;
    private readonly LoopWriter _writer;
    private readonly bool _mayBlockClosing;
    private Task? _closing;
    private Socket? _socket;
    private int _errno;
    private bool _attached;
    private bool _isClosed;
    private bool _reset;

    /// <summary>Owns <paramref name="fd"/> from here on, also when something fails.</summary>
    public LoopConnection(EventLoop loop, int fd, Endpoint local, Endpoint remote, TransportOptions options)
        : base(local, remote, options.Time)
    {
        Loop = loop;
        Descriptor = new StreamDescriptor(fd);
        _mayBlockClosing = options.LingerSeconds > 0;
        _reader = new LoopReader(this);
        _writer = new LoopWriter(this);
        loop.Count(1);
    }

    public EventLoop Loop { get; }

    public StreamDescriptor Descriptor { get; }

    public int Fd => Descriptor.Number;

    /// <summary>The poller's own: where it keeps this connection.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>The poller's own: what the kernel is doing for this connection.</summary>
    public uint IoState { get; set; }

    /// <summary>The end has begun: the poller is not asked for anything more.</summary>
    public bool IsDetaching { get; private set; }

    public bool IsReady { get; set; }

    public LoopConnection? NextReady { get; set; }

    public bool IsToSend { get; set; }

    public LoopConnection? NextToSend { get; set; }

    public LoopReader Reader => _reader;

    internal override PipeReader WireInput => _reader;

    internal override PipeWriter WireOutput => _writer;

    internal override long WireBytesHeld => _reader.Held;

    internal override long WireBytesQueued => _writer.Queued;

    internal override bool IsWireSending => _writer.InFlight;

    internal override object Home => Loop;

    internal override bool IsHomeThread => Loop.IsCurrent;

    internal override bool ReceivesAhead => true;

    /// <summary>
    /// Made when first asked for. It then owns the descriptor: who still uses it on another thread when the connection
    /// ends holds the close up, and never meets the next connection under the same number.
    /// </summary>
    internal override Socket? Socket
    {
        get
        {
            lock (_reader)
                return _isClosed ? null : _socket ??= new Socket(new SafeSocketHandle(Fd, ownsHandle: true));
        }
    }

    /// <summary>Takes part in its loop: at once on its thread, else soon. Not from inside the poller.</summary>
    public void Begin()
    {
        if (Loop.IsCurrent)
            Attach();
        else
            Loop.Post(static c => ((LoopConnection)c!).Attach(), this);
    }

    private protected override ValueTask SendPiecesAsync(in ReadOnlySequence<byte> bytes,
        CancellationToken cancellationToken)
    {
        if (!Loop.IsCurrent)
            return _writer.SendFromElsewhereAsync(bytes, cancellationToken);
        return Flushed(bytes.IsSingleSegment
            ? _writer.WriteAsync(bytes.First, cancellationToken)
            : _writer.WriteAsync(bytes, cancellationToken));
    }

    private protected override ValueTask SendOneAsync(ReadOnlyMemory<byte> bytes,
        CancellationToken cancellationToken) =>
        Loop.IsCurrent ? Flushed(_writer.WriteAsync(bytes, cancellationToken))
        : _writer.SendFromElsewhereAsync(new ReadOnlySequence<byte>(bytes), cancellationToken);

    internal override ValueTask FlushWireAsync(CancellationToken cancellationToken) =>
        Loop.IsCurrent ? Flushed(_writer.FlushAsync(cancellationToken))
        : _writer.FlushedFromElsewhereAsync(cancellationToken);

    internal override ValueTask FlushWireWhollyAsync(CancellationToken cancellationToken) =>
        _writer.FlushedFromElsewhereAsync(cancellationToken);

    internal override bool IsWireClosing => Volatile.Read(ref _closing) is not null;

    internal override void EndInputFor(CloseReason reason)
    {
        NoteInputEnd(reason);
        Loop.Post(static c => ((LoopConnection)c!)._reader.Inbox.EndInput(), this);
    }

    internal override void AbortFor(CloseReason reason)
    {
        if (TryEnd(reason))
            Release(reset: true);
    }

    /// <summary>Only the first call closes; the others wait with it.</summary>
    internal override ValueTask CloseWireAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        Task closing;
        lock (_writer)
            closing = _closing ??= CloseOnceAsync(reason, flushTimeout, linger);
        return closing.IsCompleted || RunsAtHome ? new(closing) : new(ComeBackAsync(closing));
    }

    internal override void Start(Action<Connection> serve, bool atHome)
    {
        if (atHome)
        {
            RunsAtHome = true;
            Loop.Post(static s =>
            {
                var (serve, connection) = (Tuple<Action<Connection>, LoopConnection>)s!;
                connection.Loop.Run(connection, serve);
            }, Tuple.Create(serve, this));
        }
        else
        {
            base.Start(serve, atHome);
        }
    }

    internal override void Post(SendOrPostCallback work, object? state) => Loop.Post(work, state);

    /// <summary>Others go on where a task sends them: its continuations never run on a loop uninvited.</summary>
    internal override ValueTask<T> AtHome<T>(ValueTask<T> call) => call.IsCompleted || !RunsAtHome ? call
        : Loop.IsCurrent ? HomeCall<T>.Follow(this, call) : new(call.AsTask());

    internal override ValueTask AtHome(ValueTask call) => call.IsCompleted || !RunsAtHome ? call
        : Loop.IsCurrent ? HomeCall<bool>.Follow(this, call) : new(call.AsTask());

    internal override void BeginWireMessage() => _writer.BeginMessage();

    internal override void EndWireMessage() => _writer.EndMessage();

    internal override void FlushWireSoon() => _writer.FlushSoon();

    // What the poller tells. None of these runs a user's code.

    public void OnReceived(Block block) => _reader.Inbox.Received(block);

    public void OnReceiveEnded(int errno) => _reader.Inbox.Ended(errno);

    public void OnPaused() => _reader.Inbox.Paused();

    public int Gather(Span<IoVector> parts) => _writer.Gather(parts);

    public void OnSent(int bytes, int errno) => _writer.Sent(bytes, errno);

    public void OnDetached()
    {
        if (_reset)
            Descriptor.ResetAtClose();
        LetGoAfter(_reset || _reader.Inbox.PeerFinished ? 0 : Descriptor.BytesWaiting());
    }

    private void LetGo()
    {
        Loop.Count(-1);
        if (_mayBlockClosing && !_reset)
            ThreadPool.UnsafeQueueUserWorkItem(static c => c.CloseDescriptor(), this, preferLocal: false);
        else
            CloseDescriptor();
        TellOwner();
        // Posted: flushes that fail and whoever registered for the end run users' code.
        Loop.Post(static c => ((LoopConnection)c!).Finish(), this);
    }

    private void CloseDescriptor()
    {
        Socket? socket;
        lock (_reader)
        {
            _isClosed = true;
            socket = _socket;
        }

        if (socket is null)
            Descriptor.Close();
        else
            socket.Dispose();
    }

    /// <summary>The loop's turn to run this connection's code.</summary>
    public void RunReady()
    {
        _writer.RunReady();
        _reader.RunReady();
    }

    /// <summary>The end of the loop's turn.</summary>
    public void Send(Poller poller)
    {
        if (_writer.InFlight || _writer.Pending == 0 || IsDetaching || !_attached)
            return;
        _writer.InFlight = true;
        poller.Send(this);
    }

    /// <summary>Records a failure, ends the connection, and gives the exception to throw.</summary>
    public ConnectionException Fail(string operation, int errno)
    {
        if (CloseReason is not null)
            return Ended(operation);
        var failure = Failures.Transfer(operation, RemoteEndpoint.ToString(), errno);
        if (TryEnd(failure.CloseReason))
        {
            _errno = errno;
            Release(reset: true);
        }

        return failure;
    }

    /// <summary>For use after the end: where the kernel ended it, with what the kernel said.</summary>
    public ConnectionException Ended(string operation) => _errno == 0 ? EndedError(operation)
        : Failures.Transfer(operation, RemoteEndpoint.ToString(), _errno);

    public void ShutdownSendNow()
    {
        if (!IsDetaching)
            Descriptor.ShutdownSend();
    }

    private void Attach()
    {
        if (_attached || IsDetaching)
            return;
        try
        {
            Loop.Poller.Attach(this);
            _attached = true;
            if (_writer.Pending > 0)
                Loop.ToSend(this);
        }
        catch (MortiseException e)
        {
            Fail("attach", e.Errno);
        }
    }

    private async Task CloseOnceAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        await Loop.Enter();
        if (CloseReason is not null)
            return;
        reason = Explained(reason, _reader.Inbox.PeerFinished);
        try
        {
            _reader.Inbox.EndInput();
            var flushed = _writer.CompleteAsync();
            if (!flushed.IsCompletedSuccessfully)
                await flushed.AsTask().WaitOrLeaveAsync(flushTimeout, Time).ConfigureAwait(false);
            await Loop.Enter();
            _reader.Inbox.Discard();
            if (linger > TimeSpan.Zero && !_reader.Inbox.PeerFinished)
            {
                await _reader.Inbox.PeerEndAsync().WaitAsync(linger, Time)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
        catch (TimeoutException)
        {
            AbortFor(Mortise.CloseReason.WriteStalled);
            return;
        }
        catch (ConnectionException)
        {
            // The peer or an abort ended it first; TryEnd below keeps that first reason.
        }
        catch
        {
            AbortFor(reason); // bytes may be left, so it must not look like an end in order
            throw;
        }

        if (TryEnd(reason))
            Release(reset: false);
    }

    /// <summary>A caller from elsewhere goes on elsewhere: a loop is no place for code that may block.</summary>
    private static async Task ComeBackAsync(Task work)
    {
        await work.ConfigureAwait(ConfigureAwaitOptions.ForceYielding | ConfigureAwaitOptions.SuppressThrowing);
        await work.ConfigureAwait(false);
    }

    /// <summary>
    /// Only for the caller to whom <see cref="Connection.TryEnd"/> said true, so it runs once. Posted also on the loop:
    /// the failure may have come to light in the middle of the poller's own work.
    /// </summary>
    private void Release(bool reset)
    {
        _reset = reset;
        _writer.Break();
        Loop.Post(static c => ((LoopConnection)c!).ReleaseHere(), this);
    }

    private void Finish()
    {
        _writer.Free();
        // Who registered from elsewhere may block: that code, too, stays off the loop.
        if (RunsAtHome)
            AnnounceEnd();
        else
            ThreadPool.UnsafeQueueUserWorkItem(static c => c.AnnounceEnd(), this, preferLocal: false);
    }

    private void ReleaseHere()
    {
        IsDetaching = true;
        _reader.Retire();
        RetireLayer();
        if (_attached)
            Loop.Poller.Detach(this);
        else
            OnDetached();
    }

    /// <summary>Closing with unread bytes makes the kernel send RST, which can destroy the reply on its way. Only what
    /// was there at the end is read, and no more in a turn than fits the loop's other work.</summary>
    private void LetGoAfter(int unreadBytes)
    {
        Span<byte> scrap = stackalloc byte[DiscardBytes];
        for (var turnEnds = unreadBytes - DiscardedBytesPerTurn; unreadBytes > Math.Max(turnEnds, 0);)
        {
            var received = Descriptor.Receive(scrap, out _);
            unreadBytes = received > 0 ? unreadBytes - received : 0;
        }

        if (unreadBytes <= 0)
            LetGo();
        else
            Loop.Post(s => LetGoAfter((int)s!), unreadBytes);
    }
}
