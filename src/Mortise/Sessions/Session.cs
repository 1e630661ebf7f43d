using System.Runtime.CompilerServices;
using Mortise.Server;
using Mortise.Sessions;

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
    private volatile bool _batching;
    private volatile bool _finished;

    internal Session(Connection connection, Codec<T> codec)
    {
        Connection = connection;
        _codec = codec;
        _reader = new MessageReader<T>(connection, codec);
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

    /// <summary>Waits for the next message; false at the end of the stream.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    internal async ValueTask<(bool Some, T Message)> TryReceiveAsync(CancellationToken cancellationToken)
    {
        T message;
        while (!_reader.TryNext(out message))
        {
            if (!await _reader.FillAsync(cancellationToken).ConfigureAwait(false))
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
    public ValueTask DisposeAsync() => Connection.DisposeAsync();

    /// <summary>Ends the connection now; unsent messages are lost and the peer sees a reset.</summary>
    public void Abort() => Connection.Abort();

    /// <summary>Calls <paramref name="handler"/> for one message after another until the peer finishes.</summary>
    internal async Task RunAsync(Func<Session<T>, T, ValueTask> handler)
    {
        try
        {
            while (!_finished && await _reader.FillAsync(default).ConfigureAwait(false))
            {
                _batching = true;
                try
                {
                    while (!_finished && _reader.TryNext(out var message))
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

    private void Write(T message)
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
