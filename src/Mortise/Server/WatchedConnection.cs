namespace Mortise.Server;

/// <summary>
/// A live connection on a wheel: the timeouts that run, and at the same time the server's only record of it. No timeout
/// is shorter than <see cref="Patience.Shortest"/>, so one look so often meets every deadline, and the connection need
/// not say that something began.
/// </summary>
internal sealed class WatchedConnection(Connection connection, WatchWheel wheel) : WheelEntry
{
    // Every connection has one of these: ticks are kept by half, see Connection.TickOf.
    private int _lookedAt = (int)connection.ReceivedTick;
    private int _quietSince = (int)connection.ReceivedTick;
    private int _stalledSince;
    private byte _verdict;
    private bool _isStalled;
    private bool _letGo;
    private bool _soft;

    public Connection Connection => connection;

    public ConnectionServer? Server => wheel.Server;

    private Patience Limits => wheel.Patience;

    public void Leave() => wheel.Remove(this);

    protected internal override long Look(long now, out bool act)
    {
        act = false;
        var next = Patience.Due(now, Limits.Shortest);
        if (connection.CloseReason is null)
        {
            next = Math.Min(next, ReceivingDue(now, ref act));
            next = Math.Min(next, SendingDue(now, ref act));
            next = Math.Min(next, FrameDue(now, ref act));
        }

        _lookedAt = (int)now;
        return next;
    }

    protected internal override void Act()
    {
        if (_soft)
            connection.EndInputFor((CloseReason)_verdict);
        else
            connection.AbortFor((CloseReason)_verdict);
    }

    /// <summary>First the handler is told that nobody waits any more; one that does not leave is cut off.</summary>
    private long ReceivingDue(long now, ref bool act)
    {
        // While bytes wait for it, the handler is the slow one.
        var moved = connection.BytesHeld > 0 ? now : connection.ActiveTick;
        if (moved >= connection.TickOf(_quietSince))
            (_quietSince, _letGo) = ((int)moved, false);
        var idle = connection.IsDatagram ? Limits.DatagramIdle : Limits.Idle;
        var due = Patience.Due(connection.TickOf(_quietSince), idle);
        if (due > now)
            return due;
        act = Judge(CloseReason.Idle, soft: !_letGo);
        (_quietSince, _letGo) = ((int)now, true);
        return Patience.Due(now, idle);
    }

    private long SendingDue(long now, ref bool act)
    {
        if (!connection.IsSending)
        {
            _isStalled = false;
            return long.MaxValue;
        }

        // Bytes wait since the last look, or since the kernel took some; or else since nobody knows when, and then the
        // peer's time begins now.
        var sent = connection.SentTick;
        var since = _isStalled ? Math.Max(connection.TickOf(_stalledSince), sent)
            : sent >= connection.TickOf(_lookedAt) ? sent : now;
        (_stalledSince, _isStalled) = ((int)since, true);
        var due = Patience.Due(since, Limits.WriteStall);
        if (due <= now)
            act = Judge(CloseReason.WriteStalled, soft: false);
        return due;
    }

    private long FrameDue(long now, ref bool act)
    {
        var begunAt = connection.FrameBegunAt;
        if (begunAt < 0)
            return long.MaxValue;
        var earned = Limits.OfBytes(connection.InputBytesReceived - begunAt);
        var due = Patience.Due(connection.FrameTick, Math.Min(Limits.Frame, earned));
        if (due <= now)
            act = Judge(CloseReason.ReceiveTooSlow, soft: false);
        return due;
    }

    private bool Judge(CloseReason verdict, bool soft)
    {
        (_verdict, _soft) = ((byte)verdict, soft);
        return true;
    }
}

/// <summary>A wheel of connections, and the timeouts that they are looked at for.</summary>
internal sealed class WatchWheel(Patience patience, ConnectionServer? server, object? home,
    Action<SendOrPostCallback, object?>? post = null) : TimerWheel(home, post)
{
    public ConnectionServer? Server => server;

    public Patience Patience => patience;
}

/// <summary>The timeouts of a server in ticks of its timer, a quarter of the shortest, from 10 ms to 1 s.</summary>
internal sealed class Patience
{
    /// <summary>Longer than any server runs, and far from overflow.</summary>
    private const long Forever = long.MaxValue / 4;

    private static readonly TimeSpan RateGrace = TimeSpan.FromSeconds(5);

    private readonly double _bytesPerTickMin;
    private readonly long _rateGrace;

    public Patience(ServerOptions options)
    {
        TimeSpan[] timeouts =
            [options.IdleTimeout, options.DatagramIdleTimeout, options.FrameTimeout, options.WriteStallTimeout];
        var shortest = timeouts.Where(t => t > TimeSpan.Zero).DefaultIfEmpty(TimeSpan.FromSeconds(4)).Min();
        Tick = TimeSpan.FromMilliseconds(Math.Clamp(shortest.TotalMilliseconds / 4, 10, 1000));
        Idle = Ticks(options.IdleTimeout);
        DatagramIdle = Ticks(options.DatagramIdleTimeout);
        Frame = Ticks(options.FrameTimeout);
        WriteStall = Ticks(options.WriteStallTimeout);
        _bytesPerTickMin = options.FrameBytesPerSecondMin * Tick.TotalSeconds;
        _rateGrace = Ticks(RateGrace);
        Shortest = Math.Max(1, new[] { Idle, DatagramIdle, Frame, WriteStall, OfBytes(0) }.Min());
    }

    public TimeSpan Tick { get; }

    /// <summary>No timeout that begins now is over before so many ticks.</summary>
    public long Shortest { get; }

    public long Idle { get; }

    public long DatagramIdle { get; }

    public long Frame { get; }

    public long WriteStall { get; }

    /// <summary>
    /// The tick at which <paramref name="ticks"/> are over for what happened at tick <paramref name="since"/>: that may
    /// have been at the end of it, and nothing is over early.
    /// </summary>
    public static long Due(long since, long ticks) => since + ticks + 1;

    /// <summary>So many bytes of a frame buy it so much time; every frame has five seconds.</summary>
    public long OfBytes(long bytes) => _bytesPerTickMin <= 0 ? Forever
        : Math.Max(_rateGrace, (long)Math.Min(bytes / _bytesPerTickMin, Forever));

    private long Ticks(TimeSpan time) =>
        time == Timeout.InfiniteTimeSpan ? Forever : (long)Math.Ceiling(time / Tick);
}
