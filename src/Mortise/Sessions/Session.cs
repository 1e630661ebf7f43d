using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Mortise.Server;
using Mortise.Sessions;
using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>
/// Messages over one connection. Sending is safe from any thread, whole and in order; receiving is for one reader: the
/// handler that the server runs, or <see cref="Messages"/>.
/// </summary>
/// <typeparam name="T">The message that the codec makes of a frame.</typeparam>
public sealed partial class Session<T> : IAsyncDisposable
{
    /// <summary>Replies of one batch leave in one flush, but not later than this many bytes.</summary>
    private const int BatchBytesMax = 64 * 1024;

    private readonly Codec<T> _codec;
    private readonly MessageReader<T> _reader;
    private readonly Conversation<T>? _talk;
    private ConcurrentDictionary<string, object?>? _items;
    private volatile bool _batching;
    private volatile bool _finished;

    /// <param name="connection">The bytes underneath.</param>
    /// <param name="codec">Makes messages of them.</param>
    /// <param name="options">What it does besides.</param>
    /// <param name="readsAhead">It reads from <see cref="Begin"/> on, also where the options do not need that.</param>
    internal Session(Connection connection, Codec<T> codec, SessionOptions<T>? options = null, bool readsAhead = false)
    {
        Connection = connection;
        _codec = codec;
        var talks = readsAhead || options is { IsNeeded: true };
        _reader = new MessageReader<T>(connection, codec, keeps: talks);
        if (talks)
            _talk = new Conversation<T>(this, _reader, options!, Write);
        QueueBytesMax = ConnectionServer.Of(connection)?.Options.QueueBytesMax ?? ServerOptions.QueueBytesMaxDefault;
    }

    /// <summary>The bytes underneath.</summary>
    public Connection Connection { get; }

    /// <summary>Unique in this process.</summary>
    public long Id => Connection.Id;

    /// <summary>The peer's address.</summary>
    public Endpoint RemoteEndpoint => Connection.RemoteEndpoint;

    /// <summary>Cancelled when the connection is over.</summary>
    public CancellationToken Closed => Connection.Closed;

    /// <summary>Why the connection ended, or null while it lives.</summary>
    public CloseReason? CloseReason => Connection.CloseReason;

    /// <summary>
    /// Bytes that <see cref="TrySend"/> and broadcasts may leave waiting for a slow reader. Default
    /// <see cref="ServerOptions.QueueBytesMax"/>; 1 MiB where there is no server.
    /// </summary>
    public long QueueBytesMax
    {
        get;
        set
        {
            field = value;
            if (_member is { } member)
                member.QueueBytesMax = value;
        }
    }

    /// <summary>What your code remembers of this session, e.g. who logged in. Safe from any thread; made when first
    /// used.</summary>
    public IDictionary<string, object?> Items =>
        _items ?? Interlocked.CompareExchange(ref _items, new(), null) ?? _items;

    /// <summary>
    /// Received messages until the peer finishes. A message that borrows its bytes (<see cref="ReadOnlyMemory{T}"/> of
    /// a frame codec) is valid until the next one is asked for.
    /// </summary>
    /// <exception cref="FrameException">Bytes broke the framing rule, or the stream ended inside a frame.</exception>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    public IAsyncEnumerable<T> Messages => ReadAllAsync();

    /// <summary>
    /// Sends one message; completes when the kernel has taken it, or at once when the reply will leave with the batch
    /// that the handler is working on. Waits while the peer reads slowly.
    /// </summary>
    /// <exception cref="ConnectionException">The connection is over; it carries the <see
    /// cref="CloseReason"/>.</exception>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was sent.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled. Before the call: nothing was sent. Later:
    /// only the wait ended, and the message still leaves.</exception>
    public ValueTask SendAsync(T message, CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        HasTold = true;
        Write(message);
        return _batching && Connection.BytesQueued < BatchBytesMax ? default : FlushAsync(cancellationToken);
    }

    /// <summary>
    /// Queues one message without waiting; false when the connection is over or the peer reads so slowly that
    /// <see cref="QueueBytesMax"/> bytes wait already.
    /// </summary>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was queued.</exception>
    public bool TrySend(T message)
    {
        HasTold = true;
        return TryQueue(message);
    }

    /// <summary>The same for what is not the user's.</summary>
    internal bool TryQueue(T message)
    {
        if (CloseReason is not null || Connection.BytesQueued >= QueueBytesMax)
            return false;
        try
        {
            Write(message);
        }
        catch (ConnectionException)
        {
            return false;
        }

        if (!_batching)
            Connection.FlushSoon();
        return true;
    }

    /// <summary>
    /// Sends a request and waits for its reply, from any thread, also from inside a handler: replies do not wait for
    /// the handler. <see cref="SessionOptions{T}.Correlation"/> says how a reply is found. Where bytes wait for a slow
    /// peer already (<see cref="QueueBytesMax"/>), they go first, in the time of this request.
    /// </summary>
    /// <param name="message">The request; where replies are found by id, the session gives it one.</param>
    /// <param name="timeout">At most 49 days, or infinite. Default
    /// <see cref="SessionOptions{T}.RequestTimeout"/>.</param>
    /// <param name="cancellationToken">Ends the wait; a request that is on its way stays so, and its reply is
    /// dropped (<c>dropped_total</c>, reason <c>late_reply</c>).</param>
    /// <exception cref="TimedOutException">No reply came in time.</exception>
    /// <exception cref="ConnectionException">The session ended first; it carries the <see
    /// cref="Mortise.CloseReason"/>.</exception>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was sent.</exception>
    /// <exception cref="MortiseException"><c>EAGAIN</c>: <see cref="SessionOptions{T}.RequestsMax"/> wait
    /// already.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is negative or above 49 days; nothing was
    /// sent.</exception>
    /// <exception cref="InvalidOperationException">The session has no <see
    /// cref="SessionOptions{T}.Correlation"/>.</exception>
    public ValueTask<T> RequestAsync(T message, TimeSpan? timeout = null,
        CancellationToken cancellationToken = default)
    {
        if (_talk is null)
            throw Conversation<T>.Unexplained();
        if (timeout is { } time)
            TimerTime.Checked(time, nameof(timeout));
        if (Connection.BytesQueued >= QueueBytesMax)
            return new ValueTask<T>(_talk.AskSlowlyAsync(FlushAsync(default), message, timeout, cancellationToken));
        return new ValueTask<T>(Ask(message, timeout, cancellationToken).Task);
    }

    /// <summary>
    /// Calls <paramref name="handler"/> for one message after another until the peer finishes, as a server does: how a
    /// client answers what the server asks. Replies to own requests do not reach it.
    /// </summary>
    /// <exception cref="FrameException">Bytes broke the framing rule, or the stream ended inside a frame.</exception>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    public Task HandleAsync(Func<Session<T>, T, ValueTask> handler) => RunAsync(handler);

    /// <summary>Waits for the next message; false at the end of the stream.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<(bool Some, T Message)> TryReceiveAsync(CancellationToken cancellationToken)
    {
        T message;
        while (!TryNext(out message))
        {
            if (!await MoreAsync(cancellationToken).ConfigureAwait(false))
                return (false, default!);
        }

        return (true, message);
    }

    /// <summary>Waits for one message.</summary>
    /// <exception cref="FrameException">The stream ended or broke the framing rule.</exception>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    public ValueTask<T> ReceiveAsync(CancellationToken cancellationToken = default) =>
        Connection.AtHome(ReceiveOneAsync(cancellationToken));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<T> ReceiveOneAsync(CancellationToken cancellationToken)
    {
        var (some, message) = await TryReceiveAsync(cancellationToken).ConfigureAwait(false);
        return some ? message : throw new FrameException(Mortise.CloseReason.UnexpectedEof,
            "the peer closed before it sent a message", "check the peer's log: it finished without an answer",
            RemoteEndpoint.ToString());
    }

    /// <summary>
    /// For a handler that has heard enough: no further message is handled, what was sent goes out, and the server
    /// closes the connection in order.
    /// </summary>
    public void Finish()
    {
        _finished = true;
        Connection.EndInput(Mortise.CloseReason.Local);
    }

    /// <summary>Ends the connection in order: what was sent goes out, then FIN.</summary>
    public ValueTask DisposeAsync()
    {
        _talk?.Leave();
        return Connection.DisposeAsync();
    }

    /// <summary>Ends the connection now; unsent messages are lost and the peer sees a reset.</summary>
    public void Abort() => Connection.Abort();

    /// <summary>Calls <paramref name="handler"/> for one message after another until the peer finishes.</summary>
    internal Task RunAsync(Func<Session<T>, T, ValueTask> handler) =>
        _talk is null ? HandleAllAsync(handler) : TalkAsync(handler);

    /// <summary>Begins to read ahead of handler or receiver, where that was asked for.</summary>
    internal Session<T> Begin()
    {
        _talk?.Begin();
        return this;
    }

    private async Task TalkAsync(Func<Session<T>, T, ValueTask> handler)
    {
        var reason = Mortise.CloseReason.HandlerFault;
        Begin();
        try
        {
            await HandleAllAsync(handler).ConfigureAwait(false);
            reason = Mortise.CloseReason.Local;
        }
        finally
        {
            await _talk!.StopAsync(reason).ConfigureAwait(false);
        }
    }

    /// <summary>Sends a request without waiting for anything; the session has a correlation.</summary>
    internal Request<T> Ask(T message, TimeSpan? timeout, CancellationToken cancellationToken)
    {
        var request = _talk!.Ask(message, timeout, cancellationToken);
        if (!_batching || Connection.BytesQueued >= BatchBytesMax)
            Connection.FlushSoon();
        return request;
    }

    /// <summary>Completes when a session that reads ahead reads no more.</summary>
    internal Task Reading => _talk!.Reading;

    /// <summary>Of a session that reads ahead: what came was received, and no message has begun.</summary>
    internal bool IsReadOut => _talk!.Backlog.IsEmpty && Connection.FrameBegunAt < 0;

    /// <summary>The next message of a session that reads ahead, with its bytes on the wire.</summary>
    internal bool TryNext(out T message, out long bytes) => _talk!.Backlog.TryTake(out message!, out bytes);

    /// <summary>Waits for more of a session that reads ahead; false at the end, or why it ended.</summary>
    internal ValueTask<bool> AheadAsync() => _talk!.Backlog.WaitAsync(default);

    /// <summary>Writes a message, and does not flush. When it throws, the message does not leave.</summary>
    internal void Write(T message)
    {
        try
        {
            Connection.BeginMessage();
            try
            {
                _codec.Write(message, Connection.Output);
            }
            finally
            {
                Connection.EndMessage();
            }
        }
        catch (FrameException e)
        {
            e.At(RemoteEndpoint.ToString()); // framing knows no sockets
            throw;
        }
    }

    /// <summary>Requests whose replies are still expected.</summary>
    internal int RequestsUnderWay => _talk?.Requests?.Count ?? 0;

    /// <summary>The user has sent something that was no request: nobody knows whether it is answered.</summary>
    internal bool HasTold { get; set; }

    /// <summary>The next message that is already here.</summary>
    internal bool TryNext(out T message) =>
        _talk is null ? _reader.TryNext(out message) : _talk.Backlog.TryTake(out message!);

    /// <summary>Waits for more than is here; false at the end.</summary>
    private ValueTask<bool> MoreAsync(CancellationToken cancellationToken) =>
        _talk is null ? _reader.FillAsync(cancellationToken) : _talk.Backlog.WaitAsync(cancellationToken);

    private async Task HandleAllAsync(Func<Session<T>, T, ValueTask> handler)
    {
        try
        {
            // Bytes wake a handler on its loop; who is woken by another reader must find the way back there.
            while (!_finished && await MoreAsync(default).ConfigureAwait(_talk is not null))
            {
                _batching = true;
                if (_talk is not null)
                    Connection.TellActivity(isAtWork: true);
                try
                {
                    while (!_finished && TryNext(out var message))
                    {
                        var handling = handler(this, message);
                        if (handling.IsCompletedSuccessfully)
                            handling.GetAwaiter().GetResult(); // gives a pooled source back
                        else
                            await LeaveBatchAsync(handling).ConfigureAwait(true);
                    }
                }
                catch
                {
                    // The replies before the fault leave, but a failure to send them must not hide the fault.
                    _batching = false;
                    await FlushQuietlyAsync().ConfigureAwait(false);
                    throw;
                }

                _batching = false;
                if (CloseReason is null)
                    await FlushAsync(default).ConfigureAwait(false);
                if (_talk is not null)
                    Connection.TellActivity(isAtWork: false);
            }
        }
        finally
        {
            _member?.LeaveAll(); // before the close, which may linger
        }
    }

    /// <summary>
    /// A handler that waits for something else must not hold back the replies written before. After it the next message
    /// is handled at home again: without its context an await on a loop goes on on the thread pool.
    /// </summary>
    private async ValueTask LeaveBatchAsync(ValueTask handling)
    {
        _batching = false;
        if (CloseReason is null)
            _ = FlushQuietlyAsync();
        await handling.ConfigureAwait(true);
        _batching = true;
    }

    private async IAsyncEnumerable<T> ReadAllAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        while (await TryReceiveAsync(cancellationToken).ConfigureAwait(false) is (true, var message))
            yield return message;
    }

    private ValueTask FlushAsync(CancellationToken cancellationToken)
    {
        try
        {
            return Connection.FlushAsync(cancellationToken);
        }
        catch (Exception e)
        {
            return ValueTask.FromException(e);
        }
    }

    private async Task FlushQuietlyAsync()
    {
        try
        {
            await FlushAsync(default).ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // The connection ended; whoever reads or sends next is told why.
        }
    }
}
