using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>A session of a <see cref="SocketClientPool{T}"/>, the tenant's alone until it is given back.</summary>
/// <typeparam name="T">The message.</typeparam>
/// <example>
/// <code>
/// await using var lease = await pool.RentAsync();
/// Console.WriteLine(await lease.Session.RequestAsync("who"));
/// </code>
/// </example>
public sealed class SocketLease<T> : IAsyncDisposable
{
    private readonly SocketClientPool<T> _pool;
    private int _isOver;
    private bool _isBroken;

    internal SocketLease(SocketClientPool<T> pool, Session<T> session) => (_pool, Session) = (pool, session);

    /// <summary>
    /// The connection; not to be used after the lease is disposed. Only where all was asked by
    /// <see cref="Session{T}.RequestAsync"/> it is lent again.
    /// </summary>
    public Session<T> Session { get; }

    /// <summary>The session is out of step, e.g. after half of an exchange: it is closed, not lent again.</summary>
    public void MarkBroken() => _isBroken = true;

    /// <summary>Gives the session back; a broken one is closed.</summary>
    public ValueTask DisposeAsync() =>
        Interlocked.Exchange(ref _isOver, 1) == 1 ? default : _pool.ReturnAsync(Session, _isBroken);
}

/// <summary>How a <see cref="SocketClientPool{T}"/> connects, and what it keeps.</summary>
/// <typeparam name="T">The message.</typeparam>
public sealed class SocketClientPoolOptions<T> : ClientOptions
{
    /// <summary>Sessions rented at a time; one more waits. Default 8.</summary>
    public int MaxSize
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            field = value;
        }
    } = 8;

    /// <summary>A session that nobody rented for so long, at most 49 days or infinite, is closed. Default 1
    /// minute.</summary>
    public TimeSpan IdleTimeout
    {
        get;
        set
        {
            if (value != Timeout.InfiniteTimeSpan)
                ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero);
            field = TimerTime.Checked(value, nameof(value));
        }
    } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Runs on each new connection before it is lent for the first time: a login. What it throws is thrown to who
    /// rents, whose token it gets, and the connection is closed.
    /// </summary>
    public Func<Session<T>, CancellationToken, ValueTask>? OnConnected { get; set; }

    /// <summary>How replies find their requests, which a pool has to know; heartbeats, silence.</summary>
    public SessionOptions<T> Session { get; set; } = new();
}
