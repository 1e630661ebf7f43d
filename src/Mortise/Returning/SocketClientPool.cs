using Mortise.Returning;

namespace Mortise;

/// <summary>
/// Connections that are lent, one user at a time each, for protocols in which a reply is known by its order alone. Who
/// rents has the session to himself, and asks with <see cref="Session{T}.RequestAsync"/>; disposing the lease gives it
/// back. A session that has ended, or on which something is still owed or unread, is closed instead of being lent
/// again; so is one on which the tenant sent otherwise, because nobody knows whether that is answered. Made by
/// <see cref="SocketClient.CreatePool{T}(Endpoint, Codec{T}, Action{SocketClientPoolOptions{T}}?)"/>.
/// </summary>
/// <typeparam name="T">The message.</typeparam>
public sealed class SocketClientPool<T> : IAsyncDisposable
{
    private readonly SocketClientPoolOptions<T> _options;
    private readonly Func<CancellationToken, ValueTask<Session<T>>> _connect;
    private readonly SemaphoreSlim _places;
    private readonly Lock _gate = new();
    private readonly LinkedList<(Session<T> Session, long Since)> _idle = [];
    private readonly CancellationTokenSource _stop = new();
    private readonly ITimer _timer;
    private bool _isClosed;

    internal SocketClientPool(SocketClientPoolOptions<T> options,
        Func<CancellationToken, ValueTask<Session<T>>> connect)
    {
        (_options, _connect) = (options, connect);
        _places = new SemaphoreSlim(options.MaxSize, options.MaxSize);
        _timer = Time.CreateTimer(static p => ((SocketClientPool<T>)p!).CloseIdle(), this, Timeout.InfiniteTimeSpan,
            Timeout.InfiniteTimeSpan);
    }

    /// <summary>Sessions that nobody has rented now.</summary>
    public int Idle
    {
        get
        {
            lock (_gate)
                return _idle.Count;
        }
    }

    private TimeProvider Time => _options.Transport.Time;

    /// <summary>
    /// The session that was given back last, or a new one; where <see cref="SocketClientPoolOptions{T}.MaxSize"/> are
    /// rented already, waits for one.
    /// </summary>
    /// <exception cref="ConnectException">A new one was needed, and no address answered.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <exception cref="ObjectDisposedException">The pool was disposed.</exception>
    public async ValueTask<SocketLease<T>> RentAsync(CancellationToken cancellationToken = default)
    {
        ObjectDisposedException.ThrowIf(Volatile.Read(ref _isClosed), this);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, _stop.Token);
        try
        {
            await _places.WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new ObjectDisposedException(nameof(SocketClientPool<T>));
        }

        try
        {
            while (Take() is { } session)
            {
                if (IsClean(session))
                    return new SocketLease<T>(this, session);
                session.Abort(); // it ended, or something came, while nobody had it
            }

            return new SocketLease<T>(this, await _connect(either.Token).ConfigureAwait(false));
        }
        catch (Exception e)
        {
            _places.Release();
            ObjectDisposedException.ThrowIf(e is OperationCanceledException
                && !cancellationToken.IsCancellationRequested && _stop.IsCancellationRequested, this);
            throw;
        }
    }

    /// <summary>
    /// Closes those that are idle now, and each rented one when it is given back; whoever waits for one is told that
    /// the pool was disposed.
    /// </summary>
    public async ValueTask DisposeAsync()
    {
        lock (_gate)
        {
            if (_isClosed)
                return;
            _isClosed = true;
        }

        await _stop.CancelAsync().ConfigureAwait(false);
        await _timer.DisposeAsync().ConfigureAwait(false);
        while (Take() is { } session)
            await session.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>From a lease, once.</summary>
    internal async ValueTask ReturnAsync(Session<T> session, bool isBroken)
    {
        var keeps = !isBroken && IsClean(session);
        lock (_gate)
        {
            keeps &= !_isClosed;
            if (keeps)
            {
                _idle.AddFirst((session, Time.GetTimestamp()));
                if (_idle.Count == 1)
                    _timer.Change(_options.IdleTimeout, Timeout.InfiniteTimeSpan);
            }
        }

        _places.Release();
        if (isBroken)
            session.Abort();
        else if (!keeps)
            await session.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Nothing is owed, unread or over: whoever comes next finds it as if it were new.</summary>
    private static bool IsClean(Session<T> session) => session.CloseReason is null && !session.Reading.IsCompleted
        && session.RequestsUnderWay == 0 && !session.HasTold && session.IsReadOut;

    private Session<T>? Take()
    {
        lock (_gate)
        {
            if (_idle.First is not { Value.Session: var session })
                return null;
            _idle.RemoveFirst();
            return session;
        }
    }

    /// <summary>The oldest are at the end; one timer serves them all.</summary>
    private void CloseIdle()
    {
        List<Session<T>> old = [];
        lock (_gate)
        {
            while (_idle.Last is { Value: var last })
            {
                var left = _options.IdleTimeout - Time.GetElapsedTime(last.Since);
                if (left > TimeSpan.Zero)
                {
                    _timer.Change(left, Timeout.InfiniteTimeSpan);
                    break;
                }

                _idle.RemoveLast();
                old.Add(last.Session);
            }
        }

        foreach (var session in old)
            _ = session.DisposeAsync().AsTask();
    }
}
