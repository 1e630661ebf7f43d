namespace Mortise.Sessions;

/// <summary>
/// The clock of one session: heartbeats and silence, with one timer that looks eight times within the shortest time. A
/// message costs it nothing: it compares counts.
/// </summary>
internal sealed class Pulse<T>
{
    private readonly Session<T> _session;
    private readonly SessionOptions<T> _options;
    private readonly ITimer _timer;
    private long _written;
    private long _heard;
    private long _sentAt;
    private long _beatAt;
    private long _heardAt;
    private bool _saidSendIdle;
    private bool _saidReceiveIdle;
    private int _looking;

    public Pulse(Session<T> session, SessionOptions<T> options)
    {
        (_session, _options) = (session, options);
        _sentAt = _beatAt = _heardAt = Time.GetTimestamp();
        _written = Written;
        var shortest = new[] { options.Heartbeat?.Every, options.ReceiveIdleTimeout, options.SendIdleTimeout }
            .Where(t => t > TimeSpan.Zero).Min()!.Value;
        var tick = TimeSpan.FromMilliseconds(Math.Clamp(shortest.TotalMilliseconds / 8, 1, 1000));
        _timer = Time.CreateTimer(static p => ((Pulse<T>)p!).Look(), this, tick, tick);
    }

    /// <summary>Messages from the peer, heartbeats left out. The reader counts.</summary>
    public long Heard;

    private TimeProvider Time => _session.Connection.Time;

    private long Written => _session.Connection.BytesSent + _session.Connection.BytesQueued;

    private void Look()
    {
        if (_session.CloseReason is not null)
        {
            _timer.Dispose();
            return;
        }

        if (Interlocked.Exchange(ref _looking, 1) == 1)
            return;
        try
        {
            Notice(Time.GetTimestamp());
        }
        catch (Exception)
        {
            // The user's heartbeat cannot be made or written; without it the peer would give up without a word.
            _session.Connection.AbortFor(CloseReason.HandlerFault);
        }
        finally
        {
            Volatile.Write(ref _looking, 0);
        }
    }

    private void Notice(long now)
    {
        if (Written is var written && written != _written)
            (_written, _sentAt, _beatAt, _saidSendIdle) = (written, now, now, false);
        if (Volatile.Read(ref Heard) is var heard && heard != _heard)
            (_heard, _heardAt, _saidReceiveIdle) = (heard, now, false);

        if (_options.Heartbeat is { } heartbeat && IsOver(heartbeat.Every, _beatAt, now))
        {
            _session.TryQueue(heartbeat.Message());
            (_written, _beatAt) = (Written, now);
        }

        if (!_saidSendIdle && IsOver(_options.SendIdleTimeout, _sentAt, now))
        {
            _saidSendIdle = true;
            Say(_options.OnSendIdle);
        }

        if (!_saidReceiveIdle && IsOver(_options.ReceiveIdleTimeout, _heardAt, now))
        {
            _saidReceiveIdle = true;
            Say(_options.OnReceiveIdle ?? (s => s.Connection.EndInputFor(CloseReason.Idle)));
        }
    }

    private bool IsOver(TimeSpan time, long since, long now) =>
        time > TimeSpan.Zero && Time.GetElapsedTime(since, now) >= time;

    /// <summary>Where the connection lives; a fault there is the session's own.</summary>
    private void Say(Action<Session<T>>? told)
    {
        if (told is null)
            return;
        _session.Connection.Post(static state =>
        {
            var (told, session) = ((Action<Session<T>>, Session<T>))state!;
            try
            {
                told(session);
            }
            catch (Exception)
            {
                // As with a handler that throws: the connection ends, and the reason is in the log and the metrics.
                session.Connection.AbortFor(CloseReason.HandlerFault);
            }
        }, (told, _session));
    }
}
