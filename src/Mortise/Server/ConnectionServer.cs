using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Mortise.Telemetry;
using Mortise.Transports;

namespace Mortise.Server;

/// <summary>
/// Listens, admits, runs one handler per connection, and stops in steps. It knows connections, not messages; whoever
/// wants messages wraps the handler.
/// </summary>
internal sealed class ConnectionServer : IDisposable
{
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(1);

    private readonly Func<Connection, Task> _handler;
    private readonly ServerOptions _options;
    private readonly List<Listener> _listeners = [];
    private readonly List<Task> _accepting = [];
    private readonly Admission _admission;
    private readonly ConnectionWatch _watch;
    private readonly CancellationTokenSource _suspended = new();
    private readonly Lock _emptyGate = new();
    private TaskCompletionSource? _empty;
    private Task? _suspending;
    private long _atLimitLogged;
    private int _running;
    private volatile bool _draining;

    public ConnectionServer(Func<Connection, Task> handler, ServerOptions options)
    {
        _handler = handler;
        _options = options;
        _admission = new Admission(options, DescriptorLedger.Process);
        _watch = new ConnectionWatch(options);
        Counters = new ServerCounters();
        Counters.Set(Metrics.ConnectionsLimit, _admission.Limit);
    }

    public ServerCounters Counters { get; }

    public IReadOnlyList<Listener> Listeners => _listeners;

    public IEnumerable<Connection> Live => _watch.Live;

    public int LiveCount => Volatile.Read(ref _running);

    public int Limit => _admission.Limit;

    /// <summary>Binds all, then starts accepting: clients see either a whole server or none.</summary>
    public void Listen(IReadOnlyList<(Transport Transport, Endpoint Endpoint)> places)
    {
        foreach (var (transport, endpoint) in places)
        {
            var listener = transport.Listen(endpoint, _options.Transport);
            _listeners.Add(listener);
            ServerLog.Listening(_options.Logger, listener.Endpoint.ToString(), transport.Name);
        }

        // Not before: a scrape walks the listeners.
        ServerGauges.Attach(Counters, _watch, _listeners);
        foreach (var listener in _listeners)
            _accepting.Add(Task.Run(() => AcceptLoopAsync(listener)));
    }

    /// <summary>Stops accepting. Connections that the kernel had completed already are still served.</summary>
    public Task SuspendAsync()
    {
        lock (_listeners)
            return _suspending ??= CloseListenersAsync();
    }

    /// <summary>
    /// Ends every connection's input, so that handlers answer what has arrived and leave, and waits for them until the
    /// deadline; the rest are aborted.
    /// </summary>
    public async Task<DrainResult> DrainAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        _draining = true;
        var before = LiveCount;
        var started = _options.Time.GetTimestamp();
        foreach (var connection in _watch.Live)
            connection.EndInput(CloseReason.Drain);
        try
        {
            await EmptyAsync().WaitAsync(timeout, _options.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // The deadline, or a second interrupt: what is left is aborted below.
        }

        var aborted = 0;
        foreach (var connection in _watch.Live)
        {
            if (connection.CloseReason is null)
                aborted++;
            connection.Abort(CloseReason.Drain);
        }

        await LeaveAsync().ConfigureAwait(false);
        return new DrainResult(before - aborted, aborted, _options.Time.GetElapsedTime(started));
    }

    /// <summary>
    /// Handlers of aborted connections get a moment to unwind, so that the counts are final. A handler that never ends
    /// is not waited for, and this moment is real time under any clock.
    /// </summary>
    private async Task LeaveAsync() => await EmptyAsync().WaitAsync(LeaveTimeout)
        .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    /// <summary>Ends with the last connection; each drain has its own, so that a second one waits too.</summary>
    private Task EmptyAsync()
    {
        lock (_emptyGate)
        {
            if (LiveCount == 0)
                return Task.CompletedTask;
            _empty ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return _empty.Task;
        }
    }

    /// <summary>Ends everything at once.</summary>
    public async ValueTask DisposeAsync()
    {
        _draining = true;
        foreach (var connection in _watch.Live)
            connection.Abort(CloseReason.Drain);
        await LeaveAsync().ConfigureAwait(false);
        Dispose();
    }

    /// <summary>Ends everything at once, and waits for nobody.</summary>
    public void Dispose()
    {
        _suspended.Cancel();
        foreach (var listener in _listeners)
            listener.Dispose();
        foreach (var connection in _watch.Live)
            connection.Abort(CloseReason.Drain);
        _watch.Dispose();
        Counters.Dispose();
    }

    private async Task AcceptLoopAsync(Listener listener)
    {
        var name = listener.Endpoint.ToString();
        var pause = new AcceptPause(_options, name);
        while (!_suspended.IsCancellationRequested)
        {
            try
            {
                var connection = await AcceptAsync(listener).ConfigureAwait(false);
                pause.Recovered();
                if (IsAdmitted(connection))
                    await StartAsync(connection, name).ConfigureAwait(false);
                if (_options.AcceptDelay > TimeSpan.Zero)
                    await Task.Delay(_options.AcceptDelay, _options.Time, _suspended.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (MortiseException e)
            {
                // Out of descriptors or memory, or a client gone before accept: it never ends the loop.
                Counters.Rejected(RejectReason.AcceptError);
                await pause.AfterAsync(e, _suspended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task CloseListenersAsync()
    {
        await _suspended.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_accepting).ConfigureAwait(false);
        foreach (var listener in _listeners)
        {
            TakeWaiting(listener);
            listener.Dispose();
        }
    }

    private async ValueTask<Connection> AcceptAsync(Listener listener)
    {
        if (!_admission.TryClaimDescriptor())
        {
            LogAtLimit(listener.Endpoint.ToString());
            await _admission.ClaimDescriptorAsync(_suspended.Token).ConfigureAwait(false);
        }

        try
        {
            return await listener.AcceptAsync(_suspended.Token).ConfigureAwait(false);
        }
        catch
        {
            _admission.ReleaseDescriptor();
            throw;
        }
    }

    private void TakeWaiting(Listener listener)
    {
        // Bounded by the accept queue: nobody can enter it faster than this empties it for longer than a moment.
        for (var taken = 0; taken <= listener.Backlog && _admission.TryClaimDescriptor(); taken++)
        {
            if (_admission.IsFull || TakeOne(listener) is not { } connection)
            {
                _admission.ReleaseDescriptor();
                return;
            }

            if (!IsAdmitted(connection))
                continue;
            if (_admission.TryClaimPlace())
                Start(connection, listener.Endpoint.ToString());
            else
                TurnAway(connection, CloseReason.Drain);
        }
    }

    /// <summary>The next that waits, or null; an error here must not keep the listeners from being closed.</summary>
    private Connection? TakeOne(Listener listener)
    {
        try
        {
            return listener.TryAccept(out var connection) ? connection : null;
        }
        catch (MortiseException)
        {
            Counters.Rejected(RejectReason.AcceptError);
            return null;
        }
    }

    private bool IsAdmitted(Connection connection)
    {
        var welcome = IsWelcome(connection);
        if (welcome && _admission.TryEnter(connection.RemoteEndpoint))
            return true;
        Counters.Rejected(welcome ? RejectReason.AddressLimit : RejectReason.Denied);
        ServerLog.Rejected(_options.Logger, connection.RemoteEndpoint.Authority, welcome ? "address_limit" : "denied");
        connection.Abort(CloseReason.RateLimit);
        _admission.ReleaseDescriptor();
        return false;
    }

    /// <summary>A judge that throws has not said yes, and must not take the accept loop with it.</summary>
    private bool IsWelcome(Connection connection)
    {
        try
        {
            return _options.Admit?.Invoke(connection.RemoteEndpoint) != false;
        }
        catch (Exception e)
        {
            ServerLog.HandlerFault(_options.Logger, e, Name(connection));
            return false;
        }
    }

    private void TurnAway(Connection connection, CloseReason reason)
    {
        connection.Abort(reason);
        _admission.Leave(connection.RemoteEndpoint);
        _admission.ReleaseDescriptor();
    }

    /// <summary>Holds the newcomer back until there is a place; when accepting stops first, it has to go.</summary>
    private async ValueTask StartAsync(Connection connection, string listener)
    {
        if (!_admission.TryClaimPlace())
        {
            LogAtLimit(listener);
            var place = _admission.ClaimPlaceAsync(_suspended.Token);
            await place.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!place.IsCompletedSuccessfully)
            {
                TurnAway(connection, CloseReason.Drain);
                return;
            }
        }

        Start(connection, listener);
    }

    private void Start(Connection connection, string listener)
    {
        Interlocked.Increment(ref _running);
        Counters.Accepted();
        _watch.Add(connection);
        ServerLog.Accepted(_options.Logger, Name(connection), connection.RemoteEndpoint.Authority, listener);
        ThreadPool.UnsafeQueueUserWorkItem(static s => _ = s.server.RunAsync(s.connection), (server: this, connection),
            preferLocal: false);
    }

    private async Task RunAsync(Connection connection)
    {
        var reason = CloseReason.Local;
        var activity = MortiseTelemetry.StartConnection(ActivityKind.Server, connection.LocalEndpoint,
            connection.RemoteEndpoint);
        try
        {
            _options.OnAccepted?.Invoke(connection);
            await _handler(connection).ConfigureAwait(false);
        }
        catch (FrameException e)
        {
            reason = e.CloseReason;
            // Draining ends the input under a peer that has done nothing wrong.
            var hint = reason == CloseReason.UnexpectedEof && _draining
                ? "this server stopped before the rest came" : e.Hint;
            ServerLog.FrameError(_options.Logger, Name(connection), connection.RemoteEndpoint.Authority, e.Symbol,
                hint is null ? e.Reason : $"{e.Reason}: {hint}");
        }
        catch (Exception e) when (connection.CloseReason is not null
            && e is ConnectionException or OperationCanceledException)
        {
            // The connection ended under the handler (reset, timeout, abort); the reason is recorded already.
        }
        catch (Exception e)
        {
            reason = CloseReason.HandlerFault;
            ServerLog.HandlerFault(_options.Logger, e, Name(connection));
        }

        await connection.CloseAsync(reason, _options.WriteStallTimeout, _options.CloseLinger).ConfigureAwait(false);
        await connection.Input.CompleteAsync().ConfigureAwait(false);
        Count(connection);
        MortiseTelemetry.End(activity, connection.CloseReason ?? reason);
        try
        {
            _options.OnClosed?.Invoke(connection);
        }
        catch (Exception e)
        {
            // A fault in the owner's callback must not keep the place of a connection that is gone.
            ServerLog.HandlerFault(_options.Logger, e, Name(connection));
        }

        Forget(connection);
    }

    private void Count(Connection connection)
    {
        lock (Counters.Moving)
        {
            _watch.Remove(connection);
            Counters.Add(Metrics.BytesReceived, connection.BytesReceived);
            Counters.Add(Metrics.BytesSent, connection.BytesSent);
            Counters.Add(Metrics.FramesReceived, connection.FramesReceived);
        }

        var reason = connection.CloseReason ?? CloseReason.Local;
        Counters.Closed(reason);
        ServerLog.Closed(_options.Logger, Name(connection), reason.Name(), connection.BytesReceived,
            connection.BytesSent);
    }

    /// <summary>The place comes last: who takes it must find the counters without this connection.</summary>
    private void Forget(Connection connection)
    {
        var left = Interlocked.Decrement(ref _running);
        _admission.Leave(connection.RemoteEndpoint);
        _admission.ReleaseDescriptor();
        _admission.ReleasePlace();
        if (left > 0)
            return;
        lock (_emptyGate)
        {
            _empty?.SetResult();
            _empty = null;
        }
    }

    /// <summary>At most one line a second: a full server has other things to do than to say so.</summary>
    private void LogAtLimit(string listener)
    {
        var now = _options.Time.GetTimestamp();
        var last = Interlocked.Read(ref _atLimitLogged);
        if (last != 0 && _options.Time.GetElapsedTime(last, now) < TimeSpan.FromSeconds(1)
            || Interlocked.CompareExchange(ref _atLimitLogged, now, last) != last)
            return;
        ServerLog.AtLimit(_options.Logger, listener, _admission.Limit);
    }

    private static string Name(Connection connection) =>
        connection.Id.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
