using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>
/// What sessions do besides carrying messages: ask, keep the connection warm, notice silence. Set once, then shared by
/// all sessions it is given to. Where any of it is set, the session reads on while a handler waits, so messages own
/// their bytes: a <see cref="FrameCodec"/> copies each.
/// </summary>
/// <typeparam name="T">The message.</typeparam>
/// <example>
/// <code>
/// var options = new SessionOptions&lt;string&gt;
/// {
///     Correlation = Correlate.InOrder&lt;string&gt;(),
///     Heartbeat = new Heartbeat&lt;string&gt;(TimeSpan.FromSeconds(20), "ping"),
/// };
/// await using var s = await SocketClient.ConnectAsync(":7007", Codec.Lines(), options);
/// Console.WriteLine(await s.RequestAsync("hello"));
/// </code>
/// </example>
public sealed class SessionOptions<T>
{
    /// <summary>How replies find their requests. Null: <see cref="Session{T}.RequestAsync"/> is refused.</summary>
    public Correlation<T>? Correlation { get; init; }

    /// <summary>The time of a request that names none: at most 49 days, or infinite. Default 10 s.</summary>
    public TimeSpan RequestTimeout
    {
        get;
        init => field = TimerTime.Checked(Checked(value), nameof(value));
    } = TimeSpan.FromSeconds(10);

    /// <summary>Requests of one session that wait for their replies; one more fails. Default 10,000.</summary>
    public int RequestsMax { get; init => field = AtLeastOne(value); } = 10_000;

    /// <summary>
    /// Bytes of messages that wait for the handler while it is busy, counted on the wire and 64 for each. Default 1
    /// MiB. Above it the session stops reading until half is free, which slows the peer down; a reply that is behind
    /// them is then read only after them. So a handler that asks, and whose peer sends more than this meanwhile, does
    /// not get its reply: the request ends by its timeout, which names this option.
    /// </summary>
    public long ReceiveQueueBytesMax { get; init => field = AtLeastOne(value); } = 1024 * 1024;

    /// <summary>Sent while there is nothing else to send. Default none.</summary>
    public Heartbeat<T>? Heartbeat { get; init; }

    /// <summary>
    /// A peer that sent no message for so long, heartbeats left out, is silent. Default never. It is noticed at most a
    /// quarter later. Besides it a server has its <see cref="ServerOptions.IdleTimeout"/>, which heartbeats do not put
    /// off either, and which a handler that is at work does.
    /// </summary>
    public TimeSpan ReceiveIdleTimeout { get; init => field = Checked(value); } = Timeout.InfiniteTimeSpan;

    /// <summary>
    /// Called each time the peer has become silent, where the connection lives, beside the handler. Null: the session
    /// ends in order, for <see cref="CloseReason.Idle"/>.
    /// </summary>
    public Action<Session<T>>? OnReceiveIdle { get; init; }

    /// <summary>When <see cref="OnSendIdle"/> is called. Default never.</summary>
    public TimeSpan SendIdleTimeout { get; init => field = Checked(value); } = Timeout.InfiniteTimeSpan;

    /// <summary>Called each time this side has sent nothing, heartbeats left out, for the time.</summary>
    public Action<Session<T>>? OnSendIdle { get; init; }

    /// <summary>Something is to be done besides carrying messages.</summary>
    internal bool IsNeeded => Correlation is not null || HasTimes;

    /// <summary>A clock is needed.</summary>
    internal bool HasTimes => Heartbeat is not null || ReceiveIdleTimeout > TimeSpan.Zero
        || SendIdleTimeout > TimeSpan.Zero;

    private static TimeSpan Checked(TimeSpan time)
    {
        if (time != Timeout.InfiniteTimeSpan)
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero);
        return time;
    }

    private static int AtLeastOne(int count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return count;
    }

    private static long AtLeastOne(long count)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        return count;
    }
}

/// <summary>
/// A message of your own format that is sent while there is nothing else to send, so that nothing between the two ends
/// forgets the connection and each end learns that the other is gone. Heartbeats of the peer reach neither the handler
/// nor <see cref="SessionOptions{T}.ReceiveIdleTimeout"/>, and do not put off <see cref="ServerOptions.IdleTimeout"/>:
/// a server whose peers may be silent for longer than 2 minutes says so there.
/// </summary>
/// <typeparam name="T">The message.</typeparam>
public sealed class Heartbeat<T>
{
    /// <summary>A heartbeat that is always the same message.</summary>
    /// <param name="every">Sent when nothing was sent for so long, or at most a quarter longer.</param>
    /// <param name="message">The heartbeat.</param>
    /// <param name="isHeartbeat">Tells the peer's heartbeats; null: whatever equals <paramref name="message"/>. Frames
    /// of bytes are never equal and need it.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is not above zero.</exception>
    public Heartbeat(TimeSpan every, T message, Func<T, bool>? isHeartbeat = null)
        : this(every, () => message, isHeartbeat ?? (m => EqualityComparer<T>.Default.Equals(m, message)))
    {
    }

    /// <summary>A heartbeat that is made anew each time, e.g. with the time in it.</summary>
    /// <param name="every">Sent when nothing was sent for so long, or at most a quarter longer.</param>
    /// <param name="message">Makes it; it must be quick and safe from any thread.</param>
    /// <param name="isHeartbeat">Tells the peer's heartbeats.</param>
    /// <exception cref="ArgumentOutOfRangeException">The time is not above zero.</exception>
    public Heartbeat(TimeSpan every, Func<T> message, Func<T, bool> isHeartbeat)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(every, TimeSpan.Zero);
        (Every, Message, IsHeartbeat) = (every, message, isHeartbeat);
    }

    /// <summary>Sent when nothing was sent for so long.</summary>
    public TimeSpan Every { get; }

    internal Func<T> Message { get; }

    internal Func<T, bool> IsHeartbeat { get; }
}
