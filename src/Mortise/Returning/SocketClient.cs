using System.Runtime.CompilerServices;
using Mortise.Returning;
using Mortise.Sessions;
using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>
/// A client that comes back: it connects, logs in, and does both again whenever the connection ends, until it is
/// disposed. Sending and asking are safe from any thread; messages keep the order of the calls, and none is sent twice.
/// Made by <see cref="SocketClient.Create{T}(Endpoint, Codec{T}, Action{SocketClientOptions{T}}?)"/>.
/// </summary>
/// <typeparam name="T">The message that the codec makes of a frame.</typeparam>
public sealed class SocketClient<T> : IAsyncDisposable
{
    private readonly SocketClientOptions<T> _options;
    private readonly TimeProvider _time;
    private readonly Holding<T> _holding;
    private readonly ReturnLoop<T> _loop;
    private int _isEnumerated;

    internal SocketClient(IReadOnlyList<Endpoint> endpoints, Codec<T> codec, SocketClientOptions<T> options,
        Func<Endpoint, CancellationToken, ValueTask<Connection>> dial)
    {
        (_options, _time) = (options, options.Transport.Time);
        _holding = new Holding<T>(codec, options, string.Join(',', endpoints));
        _loop = new ReturnLoop<T>(this, endpoints, codec, options, dial, _holding);
        _loop.Start();
    }

    /// <summary>Where the client is on its way to a server; a moment later it may be another.</summary>
    public ClientState State => _loop.State;

    /// <summary>
    /// Received messages, over all connections, until the client is disposed; an end of a connection does not show
    /// here. Each message owns its bytes. One enumeration at a time; a new one goes on where the last one stopped.
    /// While nobody takes messages, <see cref="SessionOptions{T}.ReceiveQueueBytesMax"/> of them are kept; then nothing
    /// more is read, and a client whose connection ends comes back only when there is room: who wants no messages sets
    /// an <see cref="SocketClientOptions{T}.OnMessage"/> that does nothing.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another enumeration goes on, or
    /// <see cref="SocketClientOptions{T}.OnMessage"/> is set.</exception>
    public IAsyncEnumerable<T> Messages => TakeAllAsync();

    /// <summary>
    /// Sends one message; completes when the kernel has taken it, which is not yet delivery. Without a connection
    /// <see cref="WhileDown"/> decides.
    /// </summary>
    /// <exception cref="UndeliveredException">It was never sent, or the connection ended while it was on its way: see
    /// <see cref="UndeliveredException.Outcome"/>.</exception>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was sent.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the inner exception is an
    /// <see cref="UndeliveredException"/> that tells the outcome.</exception>
    public ValueTask SendAsync(T message, CancellationToken cancellationToken = default)
    {
        try
        {
            if (cancellationToken.IsCancellationRequested)
                throw Undelivered.Cancelled("send", _loop.At, SendOutcome.NeverSent, cancellationToken);
            return _holding.Link is { } link && link.TrySend(message)
                ? link.SentAsync(cancellationToken)
                : _holding.SendAsync(message, cancellationToken);
        }
        catch (Exception e)
        {
            return ValueTask.FromException(e);
        }
    }

    /// <summary>
    /// Sends a request and waits for its reply; <see cref="SessionOptions{T}.Correlation"/> of
    /// <see cref="SocketClientOptions{T}.Session"/> says how that is found. Without a connection it fails at once under
    /// <see cref="WhileDown.Fail"/>, else waits in its time. When the connection ends before the reply it fails at
    /// once; it is never sent twice.
    /// </summary>
    /// <param name="message">The request; where replies are found by id, it is given one.</param>
    /// <param name="timeout">For all of it: at most 49 days, or infinite. Default
    /// <see cref="SessionOptions{T}.RequestTimeout"/>.</param>
    /// <param name="cancellationToken">Ends the wait; a reply that still comes is dropped.</param>
    /// <exception cref="UndeliveredException">It was never sent, or the connection ended before the reply: see
    /// <see cref="UndeliveredException.Outcome"/>.</exception>
    /// <exception cref="TimedOutException">It was sent, and no reply came in time.</exception>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was sent.</exception>
    /// <exception cref="MortiseException"><c>EAGAIN</c>: <see cref="SessionOptions{T}.RequestsMax"/> wait
    /// already.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; the inner exception is an
    /// <see cref="UndeliveredException"/> that tells the outcome.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The timeout is negative or above 49 days; nothing was
    /// sent.</exception>
    /// <exception cref="InvalidOperationException">There is no correlation.</exception>
    public async ValueTask<T> RequestAsync(T message, TimeSpan? timeout = null,
        CancellationToken cancellationToken = default)
    {
        if (_options.Session.Correlation is null)
            throw Conversation<T>.Unexplained();
        if (timeout is { } time)
            TimerTime.Checked(time, nameof(timeout));
        if (cancellationToken.IsCancellationRequested)
            throw Undelivered.Cancelled("request", _loop.At, SendOutcome.NeverSent, cancellationToken);
        var left = timeout ?? _options.Session.RequestTimeout;
        if (_holding.Link is { IsFull: true } full)
            left = await RoomAsync(full, left, cancellationToken).ConfigureAwait(false);
        var link = _holding.Link;
        var request = link?.TryAsk(message, left, cancellationToken);
        if (link is null || request is null)
            (link, request) = await _holding.AskAsync(message, left, cancellationToken).ConfigureAwait(false);
        return await link.ReplyAsync(request, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Accepts no more, and gives what was accepted before <see cref="SocketClientOptions{T}.DrainTimeout"/> to end:
    /// held messages are sent, also over a connection that is made only now, and requests under way get their replies.
    /// Then the connection is closed in order. What was received and not yet taken from <see cref="Messages"/> stays
    /// there.
    /// </summary>
    public ValueTask DisposeAsync() => new(_loop.EndAsync());

    private async ValueTask<TimeSpan> RoomAsync(Link<T> link, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var began = _time.GetTimestamp();
        try
        {
            await link.RoomAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw Undelivered.Late(link.At, timeout, null);
        }
        catch (OperationCanceledException)
        {
            throw Undelivered.Cancelled("request", link.At, SendOutcome.NeverSent, cancellationToken);
        }

        return timeout == Timeout.InfiniteTimeSpan ? timeout
            : timeout - _time.GetElapsedTime(began) is var left && left > TimeSpan.Zero ? left : TimeSpan.FromTicks(1);
    }

    private async IAsyncEnumerable<T> TakeAllAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        if (_options.OnMessage is not null)
            throw new InvalidOperationException("SocketClientOptions.OnMessage takes the messages.");
        if (Interlocked.Exchange(ref _isEnumerated, 1) == 1)
            throw new InvalidOperationException("Another enumeration takes the messages: there is one at a time.");
        try
        {
            while (await _loop.Inbox.WaitAsync(cancellationToken).ConfigureAwait(false))
            {
                while (_loop.Inbox.TryTake(out var received))
                    yield return received.Message;
            }
        }
        finally
        {
            Volatile.Write(ref _isEnumerated, 0);
        }
    }
}
