using Mortise.Errors;
using Mortise.Sessions.Asking;

namespace Mortise.Sessions;

/// <summary>
/// A session that reads on while its handler waits: replies go to their requests at once, heartbeats to nobody, and the
/// rest to the backlog, from which handler or receiver take. It knows messages and not what they mean.
/// </summary>
internal sealed class Conversation<T>
{
    private readonly Session<T> _session;
    private readonly MessageReader<T> _reader;
    private readonly SessionOptions<T> _options;
    private readonly Action<T> _write;
    private Pulse<T>? _pulse;
    private Task? _reading;
    private CloseReason? _stoppedFor;
    private volatile bool _stopped;

    public Conversation(Session<T> session, MessageReader<T> reader, SessionOptions<T> options, Action<T> write)
    {
        (_session, _reader, _options, _write) = (session, reader, options, write);
        Backlog = new Backlog<T>(options.ReceiveQueueBytesMax);
        // A server keeps a record of what it accepted; the two ends number their requests differently.
        Requests = options.Correlation?.Begin(accepted: session.Connection.Record is not null);
    }

    public Backlog<T> Backlog { get; }

    public Requests<T>? Requests { get; }

    /// <summary>Completes, and does not fail, when nothing more is read.</summary>
    public Task Reading => _reading ?? Task.CompletedTask;

    /// <summary>Begins to read, once.</summary>
    public void Begin()
    {
        if (_reading is not null)
            return;
        _session.Connection.TellActivity(isAtWork: false);
        if (_options.HasTimes)
            _pulse = new Pulse<T>(_session, _options);
        _reading = ReadAsync();
    }

    /// <summary>Sends a request; its task completes with the reply, the timeout or the end.</summary>
    public Request<T> Ask(T message, TimeSpan? timeout, CancellationToken cancellationToken)
    {
        if (Requests is null)
            throw Unexplained();
        var request = Requests.Create(TimedOut);
        try
        {
            request.Arm(timeout ?? _options.RequestTimeout, _session.Connection.Time, cancellationToken);
            if (!Requests.TrySend(request, message, _options.RequestsMax, _write))
                request.Fail(TooMany());
        }
        catch (Exception e)
        {
            request.Fail(e);
        }

        return request;
    }

    /// <summary>The same, where what was written before goes first; that takes of the request's time.</summary>
    public async Task<T> AskSlowlyAsync(ValueTask flushing, T message, TimeSpan? timeout,
        CancellationToken cancellationToken)
    {
        var (time, whole) = (_session.Connection.Time, timeout ?? _options.RequestTimeout);
        var began = time.GetTimestamp();
        try
        {
            await flushing.AsTask().WaitAsync(whole, time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new TimedOutException("request", At, $"the peer took nothing for {whole.TotalSeconds:0.###} s, so "
                + "the request was not sent", "see whether the peer reads");
        }

        var left = whole - time.GetElapsedTime(began);
        var request = Ask(message, whole == Timeout.InfiniteTimeSpan ? whole
            : left > TimeSpan.Zero ? left : TimeSpan.FromTicks(1), cancellationToken);
        _session.Connection.FlushSoon();
        return await request.Task.ConfigureAwait(false);
    }

    public static InvalidOperationException Unexplained() => new("Nothing says how a reply finds its request: set "
        + "SessionOptions.Correlation, e.g. to Correlate.InOrder");

    /// <summary>This side is about to end the session.</summary>
    public void Leave() => _stoppedFor ??= CloseReason.Local;

    /// <summary>The handler takes no more: what is still read is thrown away. Completes when nothing reads.</summary>
    public async Task StopAsync(CloseReason reason)
    {
        if (_reading is not { IsCompleted: false } reading)
            return;
        _stoppedFor = reason;
        _stopped = true;
        Backlog.Leave();
        _session.Connection.EndInputFor(CloseReason.Local);
        await reading.ConfigureAwait(false);
    }

    private async Task ReadAsync()
    {
        Exception? fault = null;
        try
        {
            while (!_stopped && await _reader.FillAsync(default).ConfigureAwait(false))
            {
                while (!_stopped && _reader.TryNext(out var message))
                {
                    if (IsTaken(message))
                        continue;
                    Backlog.Add(message, _reader.FrameBytes);
                    if (!Backlog.IsFull)
                        continue;
                    // Nothing is read that would tell the requests of the end, and the taker may wait for one of them.
                    using var over = Requests is null ? default
                        : _session.Closed.UnsafeRegister(static c => ((Conversation<T>)c!).FailRequests(), this);
                    await Backlog.RoomAsync().ConfigureAwait(true); // reading goes on at home
                }
            }
        }
        catch (Exception e)
        {
            fault = e; // who takes the messages gets it, after the last one
        }

        var reason = EndedFor(fault);
        Requests?.End(() => Failures.Closed("request", At, reason, inner: fault));
        Backlog.End(fault);
    }

    private void FailRequests()
    {
        var reason = EndedFor(null);
        Requests!.Fail(() => Failures.Closed("request", At, reason));
    }

    private string At => _session.RemoteEndpoint.ToString();

    private bool IsTaken(T message)
    {
        if (_options.Heartbeat?.IsHeartbeat(message) == true)
            return true;
        _session.Connection.NoteActive();
        if (_pulse is not null)
            Volatile.Write(ref _pulse.Heard, _pulse.Heard + 1);
        switch (Requests?.Take(message))
        {
            case Match.Answered:
                return true;
            case Match.Late:
                LateReplies.Count();
                return true;
            default:
                return false;
        }
    }

    private CloseReason EndedFor(Exception? fault) => _session.CloseReason ?? _stoppedFor ?? fault switch
    {
        ConnectionException e => e.CloseReason,
        FrameException e => e.CloseReason,
        null => _session.Connection.InputEndedFor ?? CloseReason.Eof,
        _ => CloseReason.HandlerFault, // the user's functions
    };

    private TimedOutException TimedOut(TimeSpan time) => Backlog.Stalls
        ? new("request", At, $"no reply was read within {time.TotalSeconds:0.###} s, because messages of "
            + $"{_options.ReceiveQueueBytesMax} bytes wait for the handler",
            "let the handler not wait for replies, or raise SessionOptions.ReceiveQueueBytesMax")
        : new("request", At, $"no reply came within {time.TotalSeconds:0.###} s",
            "see whether the peer answers such a request, and whether its replies are recognized");

    private MortiseException TooMany() => new("request", At, "EAGAIN",
        $"{_options.RequestsMax} requests wait for their replies",
        "wait for some, or raise SessionOptions.RequestsMax");
}
