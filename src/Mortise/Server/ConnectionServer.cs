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
    private readonly Func<Connection, Task> _handler;
    private readonly ServerOptions _options;
    private readonly List<Listener> _listeners = [];
    private readonly List<Task> _accepting = [];
    private readonly Admission _admission;
    private readonly ConnectionWatch _watch;
    private readonly CancellationTokenSource _suspended = new();
    private readonly TaskCompletionSource _empty = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private Task? _suspending;
    private int _running;
    private bool _draining;

    public ConnectionServer(Func<Connection, Task> handler, ServerOptions options)
    {
        _handler = handler;
        _options = options;
        _admission = new Admission(options, DescriptorLedger.Process);
        _watch = new ConnectionWatch(options);
        Counters = new ServerCounters();
        Counters.Set(Metrics.ConnectionsLimit, _admission.Limit);
        ServerGauges.Attach(Counters, _watch, _listeners);
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
        Volatile.Write(ref _draining, true);
        var before = LiveCount;
        var started = _options.Time.GetTimestamp();
        foreach (var connection in _watch.Live)
            connection.EndInput(CloseReason.Drain);
        if (LiveCount > 0)
        {
            try
            {
                await _empty.Task.WaitAsync(timeout, _options.Time, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception e) when (e is TimeoutException or OperationCanceledException)
            {
                // The deadline, or a second interrupt: what is left is aborted below.
            }
        }

        var aborted = 0;
        foreach (var connection in _watch.Live)
        {
            connection.Abort(CloseReason.Drain);
            aborted++;
        }

        return new DrainResult(before - aborted, aborted, _options.Time.GetElapsedTime(started));
    }

    /// <summary>Ends everything at once.</summary>
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
                if (_admission.IsFull)
                    ServerLog.AtLimit(_options.Logger, name, _admission.Limit);
                await _admission.ClaimPlaceAsync(_suspended.Token).ConfigureAwait(false);
                Start(await AcceptAsync(listener).ConfigureAwait(false), name);
                pause.Recovered();
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
                await pause.AfterAsync(e).ConfigureAwait(false);
            }
        }
    }

    private async Task CloseListenersAsync()
    {
        await _suspended.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_accepting).ConfigureAwait(false);
        foreach (var listener in _listeners)
        {
            await TakeWaitingAsync(listener).ConfigureAwait(false);
            listener.Dispose();
        }
    }

    private async ValueTask<Connection> AcceptAsync(Listener listener)
    {
        try
        {
            return await listener.AcceptAsync(_suspended.Token).ConfigureAwait(false);
        }
        catch
        {
            _admission.ReleasePlace();
            throw;
        }
    }

    private async Task TakeWaitingAsync(Listener listener)
    {
        // Bounded by the accept queue: nobody can enter it faster than this empties it for longer than a moment.
        for (var taken = 0; taken <= listener.Backlog; taken++)
        {
            if (_admission.IsFull || !listener.TryAccept(out var connection))
                return;
            await _admission.ClaimPlaceAsync(default).ConfigureAwait(false);
            Start(connection, listener.Endpoint.ToString());
        }
    }

    private void Start(Connection connection, string listener)
    {
        if (!_admission.TryEnter(connection.RemoteEndpoint))
        {
            Counters.Rejected(RejectReason.AddressLimit);
            ServerLog.Rejected(_options.Logger, connection.RemoteEndpoint.Authority, "address_limit");
            connection.Abort(CloseReason.RateLimit);
            _admission.ReleasePlace();
            return;
        }

        Interlocked.Increment(ref _running);
        Counters.Accepted();
        _watch.Add(connection);
        ServerLog.Accepted(_options.Logger, Name(connection), connection.RemoteEndpoint.Authority, listener);
        _options.OnAccepted?.Invoke(connection);
        ThreadPool.UnsafeQueueUserWorkItem(static s => _ = s.server.RunAsync(s.connection), (server: this, connection),
            preferLocal: false);
    }

    private async Task RunAsync(Connection connection)
    {
        var reason = CloseReason.Local;
        try
        {
            await _handler(connection).ConfigureAwait(false);
        }
        catch (FrameException e)
        {
            reason = e.CloseReason;
            ServerLog.FrameError(_options.Logger, Name(connection), connection.RemoteEndpoint.Authority, e.Symbol,
                e.Reason);
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
        Forget(connection);
    }

    private void Forget(Connection connection)
    {
        _watch.Remove(connection);
        _admission.Leave(connection.RemoteEndpoint);
        _admission.ReleasePlace();
        var reason = connection.CloseReason ?? CloseReason.Local;
        Counters.Add(Metrics.BytesReceived, connection.BytesReceived);
        Counters.Add(Metrics.BytesSent, connection.BytesSent);
        Counters.Add(Metrics.FramesReceived, connection.FramesReceived);
        Counters.Closed(reason);
        ServerLog.Closed(_options.Logger, Name(connection), reason.Name(), connection.BytesReceived,
            connection.BytesSent);
        _options.OnClosed?.Invoke(connection);
        if (Interlocked.Decrement(ref _running) == 0 && Volatile.Read(ref _draining))
            _empty.TrySetResult();
    }

    private static string Name(Connection connection) =>
        connection.Id.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
