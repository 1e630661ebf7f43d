using Mortise.Errors;
using Mortise.Sessions.Asking;

namespace Mortise.Returning;

/// <summary>
/// The life of a client: attempt after attempt, each with its login, its messages and its end, until the users have
/// left and nothing of theirs is held. One task; what others may touch is the inbox, the holding and the state.
/// </summary>
internal sealed class ReturnLoop<T>(SocketClient<T> client, IReadOnlyList<Endpoint> endpoints, Codec<T> codec,
    SocketClientOptions<T> options, Func<Endpoint, CancellationToken, ValueTask<Connection>> dial, Holding<T> holding)
{
    /// <summary>For senders under way when the peer has finished: it may still take their bytes.</summary>
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(1);

    private readonly TimeProvider _time = options.Transport.Time;
    private readonly Course _course = new(endpoints, options.Reconnect, options.StableAfter);
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource _leaving = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _gate = new();
    private Endpoint _endpoint = endpoints[0];
    private Task _running = Task.CompletedTask;
    private Task? _ending;
    private Handling<T>? _handling;
    private volatile bool _isServing;
    private bool _isPumpedOut;
    private volatile ClientState _state;

    public ClientState State => _state;

    /// <summary>Where the client belongs, for messages that no connection has.</summary>
    public string At => string.Join(',', endpoints);

    /// <summary>What was received and not taken yet, over all connections.</summary>
    public Backlog<(Session<T> Session, T Message)> Inbox { get; } = new(options.Session.ReceiveQueueBytesMax);

    public void Start()
    {
        holding.Done = GiveUp;
        using (ExecutionContext.SuppressFlow()) // a client outlives the call that made it
        {
            if (options.OnMessage is { } handler)
                _handling = new Handling<T>(Inbox, handler);
            _running = Task.Run(RunAsync);
        }
    }

    /// <summary>Lets what was accepted come to its end, and ends.</summary>
    public Task EndAsync()
    {
        lock (_gate)
            return _ending ??= EndOnceAsync();
    }

    private async Task EndOnceAsync()
    {
        using var deadline = new CancellationTokenSource(options.DrainTimeout, _time);
        using var late = deadline.Token.UnsafeRegister(static s => ((CancellationTokenSource)s!).Cancel(), _stop);
        holding.Leave();
        _leaving.TrySetResult();
        GiveUp();
        await _running.ConfigureAwait(false);
        if (_handling is { IsInside: false } handling)
            await handling.EndAsync(deadline.Token).ConfigureAwait(false);
        await late.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Nothing is worth another attempt.</summary>
    private void GiveUp()
    {
        if (!_isServing && holding.IsDone)
            _ = _stop.CancelAsync();
    }

    private async Task RunAsync()
    {
        Exception? why = null;
        try
        {
            while (!holding.IsDone)
            {
                (_endpoint, var pause) = _course.Next();
                if (pause > TimeSpan.Zero)
                {
                    Say(ClientState.Waiting, why, pause);
                    await Task.Delay(pause, _time, _stop.Token).ConfigureAwait(false);
                }

                Say(ClientState.Connecting, why);
                why = await AttemptAsync(_endpoint).ConfigureAwait(false);
                holding.Shut(why);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Disposed: what is held was given its time.
        }
        finally
        {
            holding.Drop();
            Inbox.Leave();
            Inbox.End(null);
            Say(ClientState.Closed, why);
        }
    }

    /// <summary>One connection, from the first packet to the last; why it failed or ended.</summary>
    private async Task<Exception?> AttemptAsync(Endpoint endpoint)
    {
        Session<T>? session = null;
        try
        {
            var connection = await dial(endpoint, _stop.Token).ConfigureAwait(false);
            session = new Session<T>(connection, codec, options.Session, readsAhead: true).Begin();
            await LogInAsync(session).ConfigureAwait(false);
        }
        catch (Exception e) when (!_stop.IsCancellationRequested)
        {
            session?.Abort();
            return e;
        }
        catch
        {
            session?.Abort();
            throw;
        }

        var since = _time.GetTimestamp();
        _isServing = true;
        var why = await ServeAsync(session).ConfigureAwait(false);
        _isServing = false;
        _course.Ended(endpoint, _time.GetElapsedTime(since));
        return why;
    }

    private async Task LogInAsync(Session<T> session)
    {
        if (options.OnConnected is not { } logIn)
            return;
        using var timeout = new CancellationTokenSource(options.LoginTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, _stop.Token);
        try
        {
            // Who does not look at the token is not waited for.
            await logIn(session, either.Token).AsTask().WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            throw new TimedOutException("login", session.RemoteEndpoint.ToString(),
                $"OnConnected did not end within {options.LoginTimeout.TotalSeconds:0.###} s",
                "see what it waits for, or raise SocketClientOptions.LoginTimeout");
        }
    }

    private async Task<Exception?> ServeAsync(Session<T> session)
    {
        var link = new Link<T>(session);
        var pumping = PumpAsync(session);
        var opening = holding.OpenAsync(link);
        Say(ClientState.Connected, null); // not before the door is open, for those who fail while it is shut
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var closed = session.Closed.UnsafeRegister(static e => ((TaskCompletionSource)e!).TrySetResult(), ended);
        var over = Task.WhenAny(session.Reading, ended.Task);
        await Task.WhenAny(over, _leaving.Task).ConfigureAwait(false);
        if (!over.IsCompleted)
            await DrainAsync(link, opening, over).ConfigureAwait(false);

        var end = Undelivered.Ended(session);
        holding.Shut(end);
        await CloseAsync(session, link).ConfigureAwait(false);
        await opening.ConfigureAwait(false);
        if (!pumping.IsCompleted && Inbox.IsFull)
            Say(ClientState.Waiting, NobodyTakes());
        await Task.WhenAny(pumping, _leaving.Task).ConfigureAwait(false);
        if (!pumping.IsCompleted)
        {
            // Nobody may be there to make room: this connection's are taken nevertheless, and no later one's.
            _isPumpedOut = true;
            Inbox.Leave();
        }

        return _handling?.FaultOf(session) ?? await pumping.ConfigureAwait(false) ?? end;
    }

    /// <summary>The users have left: who is under way has time until the stop, or the end of the connection.</summary>
    private async Task DrainAsync(Link<T> link, Task opening, Task over)
    {
        var stopped = Task.Delay(Timeout.Infinite, _stop.Token);
        await Task.WhenAny(opening, over, stopped).ConfigureAwait(false);
        await Task.WhenAny(link.CloseAsync(), over, stopped).ConfigureAwait(false);
    }

    /// <summary>In order, where somebody may still take the bytes of those under way.</summary>
    private async Task CloseAsync(Session<T> session, Link<T> link)
    {
        var left = link.CloseAsync();
        var isOrderly = session.CloseReason is null && !_stop.IsCancellationRequested
            && session.Connection.InputEndedFor is null or CloseReason.Local;
        if (isOrderly)
        {
            await left.WaitAsync(Farewell, _time, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (left.IsCompleted)
                await session.Connection.CloseAsync(CloseReason.Local, Farewell, TimeSpan.Zero).ConfigureAwait(false);
        }

        // Nothing, after an end in order.
        session.Connection.AbortFor(session.Connection.InputEndedFor ?? CloseReason.Abort);
        await left.ConfigureAwait(false);
    }

    /// <summary>From the connection to whom they are for; why the messages ended, or null.</summary>
    private async Task<Exception?> PumpAsync(Session<T> session)
    {
        if (_isPumpedOut)
            return null;
        try
        {
            while (await session.AheadAsync().ConfigureAwait(false))
            {
                while (session.TryNext(out var message, out var bytes))
                {
                    Inbox.Add((session, message), bytes);
                    if (Inbox.IsFull)
                        await Inbox.RoomAsync().ConfigureAwait(false);
                }
            }

            return null;
        }
        catch (Exception e)
        {
            return e; // the peer's bytes, its reset, or the codec
        }
    }

    private MortiseException NobodyTakes() => new("receive", _endpoint.ToString(), "ENOBUFS",
        $"{options.Session.ReceiveQueueBytesMax} bytes of messages wait, and nobody takes them, so the client does not "
        + "come back", "enumerate Messages, or set OnMessage");

    private void Say(ClientState state, Exception? why, TimeSpan pause = default)
    {
        _state = state;
        try
        {
            options.OnStateChanged?.Invoke(client, new ClientStateChange(state, _endpoint, pause, why));
        }
        catch (Exception)
        {
            // The user's; the client goes on without it.
        }
    }
}
