using System.Collections.Concurrent;

namespace Mortise.Server;

/// <summary>
/// One timer for all timeouts of a server. Connections only count their bytes; this looks now and then at which
/// counters moved. So a timeout is late by at most one look, and costs the hot path nothing.
/// </summary>
internal sealed class ConnectionWatch : IDisposable
{
    private static readonly TimeSpan RateGrace = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<Connection, Seen> _live = new();
    private readonly ServerOptions _options;
    private readonly TimeProvider _time;
    private readonly ITimer _timer;

    public ConnectionWatch(ServerOptions options)
    {
        _options = options;
        _time = options.Time;
        var look = Period(options);
        _timer = _time.CreateTimer(static s => ((ConnectionWatch)s!).Look(), this, look, look);
    }

    public ICollection<Connection> Live => _live.Keys;

    public int Count => _live.Count;

    public void Add(Connection connection)
    {
        var now = _time.GetTimestamp();
        _live.TryAdd(connection, new Seen { ReceivedAt = now, SentAt = now, FrameAt = now });
    }

    public bool Remove(Connection connection) => _live.TryRemove(connection, out _);

    public void Dispose() => _timer.Dispose();

    private void Look()
    {
        var now = _time.GetTimestamp();
        foreach (var (connection, seen) in _live)
        {
            if (connection.CloseReason is not null)
                continue;
            LookAtReceiving(connection, seen, now);
            LookAtSending(connection, seen, now);
            LookAtFrame(connection, seen, now);
        }
    }

    private void LookAtReceiving(Connection connection, Seen seen, long now)
    {
        if (connection.BytesReceived != seen.Received)
        {
            seen.Received = connection.BytesReceived;
            seen.ReceivedAt = now;
            seen.LetGo = false;
        }
        else if (IsOver(_options.IdleTimeout, seen.ReceivedAt, now) && connection.BytesHeld == 0)
        {
            // First the handler is told that nobody waits any more; one that does not leave is cut off.
            if (seen.LetGo)
                connection.Abort(CloseReason.Idle);
            else
                connection.EndInput(CloseReason.Idle);
            seen.LetGo = true;
            seen.ReceivedAt = now;
        }
    }

    private void LookAtSending(Connection connection, Seen seen, long now)
    {
        if (connection.BytesSent != seen.Sent || connection.BytesQueued == 0)
        {
            seen.Sent = connection.BytesSent;
            seen.SentAt = now;
        }
        else if (IsOver(_options.WriteStallTimeout, seen.SentAt, now))
        {
            connection.Abort(CloseReason.WriteStalled);
        }
    }

    private void LookAtFrame(Connection connection, Seen seen, long now)
    {
        var begunAt = connection.FrameBegunAt;
        if (begunAt != seen.FrameBegunAt || begunAt < 0)
        {
            seen.FrameBegunAt = begunAt;
            seen.FrameAt = now;
            return;
        }

        var elapsed = _time.GetElapsedTime(seen.FrameAt, now);
        var bytes = connection.BytesReceived - begunAt;
        var tooSlow = elapsed > RateGrace && bytes < _options.FrameBytesPerSecondMin * elapsed.TotalSeconds;
        if (tooSlow || IsOver(_options.FrameTimeout, seen.FrameAt, now))
            connection.Abort(CloseReason.ReceiveTooSlow);
    }

    private bool IsOver(TimeSpan timeout, long since, long now) =>
        timeout != Timeout.InfiniteTimeSpan && _time.GetElapsedTime(since, now) >= timeout;

    /// <summary>A quarter of the shortest timeout, from 10 ms to 1 s.</summary>
    private static TimeSpan Period(ServerOptions options)
    {
        TimeSpan[] timeouts = [options.IdleTimeout, options.FrameTimeout, options.WriteStallTimeout];
        var shortest = timeouts.Where(t => t > TimeSpan.Zero).DefaultIfEmpty(TimeSpan.FromSeconds(4)).Min();
        return TimeSpan.FromMilliseconds(Math.Clamp(shortest.TotalMilliseconds / 4, 10, 1000));
    }

    /// <summary>What the last look saw; only the timer's thread touches it.</summary>
    private sealed class Seen
    {
        public long Received;
        public long ReceivedAt;
        public long Sent;
        public long SentAt;
        public long FrameBegunAt = -1;
        public long FrameAt;
        public bool LetGo;
    }
}
