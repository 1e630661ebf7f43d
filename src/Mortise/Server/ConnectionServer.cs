using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Mortise.Telemetry;
using Mortise.Transports;

namespace Mortise.Server;

/// <summary>
/// Listens, admits, runs one handler per connection, and stops in steps. It knows connections, not messages; whoever
/// wants messages wraps the handler.
/// </summary>
internal sealed class ConnectionServer : IConnectionOwner, IDisposable
{
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(1);

    /// <summary>By what their listeners are called.</summary>
    private readonly Dictionary<string, Func<Connection, Task>> _handlers = [];
    private readonly ServerOptions _options;
    private readonly Admission _admission;
    private readonly Acceptor _acceptor;
    private Func<Connection, CancellationToken, ValueTask>[] _openings;
    private readonly ConnectionWatch _watch;
    private readonly ConcurrentDictionary<Type, object> _shared = new();
    private readonly Lock _emptyGate = new();
    private TaskCompletionSource? _empty;
    private int _running;
    private volatile bool _draining;
    private long _started;
    private long _drainedUpTo;
    private long _endedUpTo;

    public ConnectionServer(ServerOptions options)
    {
        options.CheckProxies();
        _options = options;
        _admission = new Admission(options, DescriptorLedger.Process);
        _watch = new ConnectionWatch(options, this);
        Counters = new ServerCounters();
        Counters.Set(Metrics.ConnectionsLimit, _admission.Limit);
        _acceptor = new Acceptor(options, _admission, Counters, Start);
        _openings = [.. options.Openings];
    }

    public ServerCounters Counters { get; }

    public ServerOptions Options => _options;

    public IReadOnlyList<Listener> Listeners => _acceptor.Listeners;

    public IEnumerable<Connection> Live => _watch.Live;

    public int LiveCount => Volatile.Read(ref _running);

    public int Limit => _admission.Limit;

    /// <summary>Who serves or served this connection, or null.</summary>
    public static ConnectionServer? Of(Connection connection) => (connection.Record as WatchedConnection)?.Server;

    /// <summary>What a room above keeps for all connections together, made when it is first asked for.</summary>
    public T Shared<T>(Func<ConnectionServer, T> make) where T : class =>
        (T)_shared.GetOrAdd(typeof(T), static (_, s) => s.make(s.server), (make, server: this));

    /// <summary>Binds all, then starts accepting: clients see either a whole server or none.</summary>
    public void Listen(IReadOnlyList<(Transport Transport, Endpoint Endpoint, Func<Connection, Task> Handler)> places)
    {
        if (places.FirstOrDefault(p => p.Endpoint.Kind == EndpointKind.Tls).Endpoint is { } encrypted)
        {
            _options.Tls.Log = _options.Log;
            _options.Tls.Check(encrypted.ToString());
            _openings = [OpenTlsAsync, .. _openings];
        }

        // Before all others: the header stands before TLS.
        if (_options.ProxyProtocol == ProxyProtocol.Require)
            _openings = [new ProxyOpening(_options, _admission, Counters).OpenAsync, .. _openings];
        foreach (var (transport, endpoint, handler) in places)
        {
            if (_options.ProxyProtocol != ProxyProtocol.Off && endpoint.IsDatagram)
                throw new UnsupportedException("serve", endpoint.ToString(),
                    "PROXY headers are read from streams, not from datagrams", "serve it without, or use tcp://");
            _acceptor.Bind(transport, endpoint);
            _handlers[Listeners[^1].Endpoint.ToString()] = handler;
        }

        // Not before: a scrape walks the listeners.
        ServerGauges.Attach(Counters, _watch, Listeners);
        _acceptor.Begin();
    }

    /// <summary>Stops accepting. Connections that the kernel had completed already are still served.</summary>
    public Task SuspendAsync() => _acceptor.SuspendAsync();

    /// <summary>
    /// Ends every connection's input, so that handlers answer what has arrived and leave, and waits for them until the
    /// deadline; the rest are aborted.
    /// </summary>
    public async Task<DrainResult> DrainAsync(TimeSpan timeout, CancellationToken cancellationToken)
    {
        _draining = true;
        Volatile.Write(ref _drainedUpTo, Volatile.Read(ref _started));
        var before = LiveCount;
        var started = _options.Time.GetTimestamp();
        foreach (var connection in _watch.Live)
            connection.EndInputFor(CloseReason.Drain);
        try
        {
            await EmptyAsync().WaitAsync(timeout, _options.Time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // The deadline, or a second interrupt: what is left is aborted below.
        }

        var aborted = 0;
        Volatile.Write(ref _endedUpTo, Volatile.Read(ref _drainedUpTo));
        foreach (var connection in _watch.Live)
        {
            // One that only waits for its peer's FIN has lost nothing, however its linger compares with the deadline.
            if (connection.CloseReason is null && !(connection.IsClosing && connection.BytesQueued == 0))
                aborted++;
            connection.AbortFor(CloseReason.Drain);
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
        Volatile.Write(ref _endedUpTo, long.MaxValue);
        foreach (var connection in _watch.Live)
            connection.AbortFor(CloseReason.Drain);
        await LeaveAsync().ConfigureAwait(false);
        foreach (var shared in _shared.Values.OfType<IAsyncDisposable>())
            await shared.DisposeAsync().ConfigureAwait(false);
        Dispose();
    }

    /// <summary>Ends everything at once, and waits for nobody.</summary>
    public void Dispose()
    {
        _acceptor.Close();
        foreach (var connection in _watch.Live)
            connection.AbortFor(CloseReason.Drain);
        foreach (var shared in _shared.Values.OfType<IAsyncDisposable>())
            _ = shared.DisposeAsync();
        _watch.Dispose();
        Counters.Dispose();
    }

    void IConnectionOwner.Released() => _admission.ReleaseDescriptor();

    void IConnectionOwner.HomeBlocked(Connection connection, bool certain, string home, int others,
        TimeSpan elapsed) => ServerLog.HomeBlocked(_options.Log, _options.HandlerName ?? HandlerNames,
            certain ? Name(connection) : $"{Name(connection)}, or of one served before it,", home,
            (long)elapsed.TotalMilliseconds, others);

    /// <summary>Which of several blocks, nobody can tell: the loop knows connections.</summary>
    private string HandlerNames => string.Join(" or ", _handlers.Values.Select(CodeName.Of).Distinct());

    private void Start(Newcomer newcomer, string listener)
    {
        Interlocked.Increment(ref _running);
        Counters.Accepted();
        var number = Interlocked.Increment(ref _started);
        newcomer.Enter(connection => Serve(connection, number, listener), _options.Dispatch == Dispatch.Loop);
    }

    private void Serve(Connection connection, long number, string listener)
    {
        connection.Adopt(this);
        _watch.Add(connection);
        // Nobody makes text of an address that nobody reads.
        if (_options.Log.IsEnabled(LogLevel.Debug))
            ServerLog.Accepted(_options.Log, Name(connection), connection.RemoteEndpoint.Authority, listener);
        // It may have been on its way here when those that were here already were told.
        if (number <= Volatile.Read(ref _endedUpTo))
            connection.AbortFor(CloseReason.Drain);
        else if (number <= Volatile.Read(ref _drainedUpTo))
            connection.EndInputFor(CloseReason.Drain);
        var handler = _handlers[listener];
        _ = _openings.Length == 0 ? RunAsync(connection, handler) : OpenAsync(connection, handler);
    }

    private ValueTask OpenTlsAsync(Connection connection, CancellationToken cancellationToken) =>
        connection.LocalEndpoint.Kind != EndpointKind.Tls ? default
        : new(_options.Tls.OpenAsync(connection, cancellationToken));

    /// <summary>The handler begins where it would have begun without the openings.</summary>
    private async Task OpenAsync(Connection connection, Func<Connection, Task> handler)
    {
        var reason = CloseReason.Local;
        using var late = new CancellationTokenSource(_options.HandshakeTimeout, _options.Time);
        try
        {
            foreach (var open in _openings)
                await open(connection, late.Token).ConfigureAwait(false);
            connection.Start(c => _ = RunAsync(c, handler), _options.Dispatch == Dispatch.Loop);
            return;
        }
        catch (HandshakeException e)
        {
            reason = e.CloseReason;
            ServerLog.NotOpened(_options.Log, Name(connection), connection.RemoteEndpoint.Authority,
                reason.Name(), e.Hint is null ? e.Reason : $"{e.Reason}: {e.Hint}");
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested)
        {
            reason = CloseReason.HandshakeTimeout;
            ServerLog.NotOpened(_options.Log, Name(connection), connection.RemoteEndpoint.Authority,
                reason.Name(), $"not over after {_options.HandshakeTimeout.TotalSeconds:0.###} s");
        }
        catch (Exception e) when (connection.CloseReason is not null
            && e is ConnectionException or OperationCanceledException)
        {
            // The peer left, or the server stopped; the reason is recorded already.
        }
        catch (Exception e)
        {
            reason = CloseReason.HandlerFault;
            ServerLog.HandlerFault(_options.Log, e, Name(connection));
        }

        _ = EndAsync(connection, reason, null);
    }

    private async Task RunAsync(Connection connection, Func<Connection, Task> handler)
    {
        var reason = CloseReason.Local;
        var activity = MortiseTelemetry.StartConnection(ActivityKind.Server, connection.LocalEndpoint,
            connection.RemoteEndpoint);
        try
        {
            _options.OnAccepted?.Invoke(connection);
            await handler(connection).ConfigureAwait(false);
        }
        catch (FrameException e)
        {
            reason = e.CloseReason;
            // Draining ends the input under a peer that has done nothing wrong.
            var hint = reason == CloseReason.UnexpectedEof && _draining
                ? "this server stopped before the rest came" : e.Hint;
            ServerLog.FrameError(_options.Log, Name(connection), connection.RemoteEndpoint.Authority, e.Symbol,
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
            ServerLog.HandlerFault(_options.Log, e, Name(connection));
        }

        _ = EndAsync(connection, reason, activity);
    }

    /// <summary>What follows the handler, apart from it: what it needs is not kept while the handler waits.</summary>
    private async Task EndAsync(Connection connection, CloseReason reason, Activity? activity)
    {
        try
        {
            await connection.CloseForAsync(reason, _options.WriteStallTimeout, _options.CloseLinger)
                .ConfigureAwait(false);
        }
        catch (Exception e)
        {
            // As far as it got it has let go of everything; its place must be free again.
            ServerLog.HandlerFault(_options.Log, e, Name(connection));
        }

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
            ServerLog.HandlerFault(_options.Log, e, Name(connection));
        }

        Forget(connection);
    }

    private void Count(Connection connection)
    {
        lock (Counters.Moving)
        {
            ConnectionWatch.Remove(connection);
            Counters.Add(Metrics.BytesReceived, connection.BytesReceived);
            Counters.Add(Metrics.BytesSent, connection.BytesSent);
            Counters.Add(Metrics.FramesReceived, connection.FramesReceived);
        }

        var reason = connection.CloseReason ?? CloseReason.Local;
        Counters.Closed(reason);
        if (_options.Log.IsEnabled(LogLevel.Debug))
        {
            ServerLog.Closed(_options.Log, Name(connection), reason.Name(), connection.BytesReceived,
                connection.BytesSent);
        }
    }

    /// <summary>The place comes last: who takes it must find the counters without this connection.</summary>
    private void Forget(Connection connection)
    {
        var left = Interlocked.Decrement(ref _running);
        _admission.Leave(connection);
        _admission.ReleasePlace();
        if (left > 0)
            return;
        lock (_emptyGate)
        {
            _empty?.SetResult();
            _empty = null;
        }
    }

    internal static string Name(Connection connection) =>
        connection.Id.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
