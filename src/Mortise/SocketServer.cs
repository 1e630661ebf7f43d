using System.Runtime.InteropServices;
using Mortise.Server;
using Mortise.Sessions.Groups;
using Mortise.Telemetry;

namespace Mortise;

/// <summary>
/// A server: it listens on one or more endpoints, runs your handler for every connection or message, and stops in
/// steps: suspend, drain, abort.
/// </summary>
/// <example>
/// <code>
/// await SocketServer.RunAsync(":7007", c => c.Input.CopyToAsync(c.Output, c.Closed));
/// await SocketServer.RunAsync(":7007", Codec.Lines(), (s, line) => s.SendAsync(line.ToUpperInvariant()));
/// </code>
/// </example>
public sealed class SocketServer : IAsyncDisposable
{
    private readonly ConnectionServer _server;
    private readonly ServerOptions _options;

    private SocketServer(ConnectionServer server, ServerOptions options)
    {
        _server = server;
        _options = options;
    }

    /// <summary>The addresses really bound, with real ports.</summary>
    public IReadOnlyList<Endpoint> Endpoints => [.. _server.Listeners.Select(l => l.Endpoint)];

    /// <summary>The listening sockets: backlog in force, accept queue, notes.</summary>
    public IReadOnlyList<Listener> Listeners => _server.Listeners;

    /// <summary>A snapshot of the connections being served.</summary>
    public IReadOnlyList<Connection> Connections => [.. _server.Live];

    /// <summary>Connections it may serve at once: the option, or less where the descriptor limit leaves less.</summary>
    public int ConnectionsLimit => _server.Limit;

    /// <summary>
    /// The groups of this server for messages of one type: for a timer that speaks to a room, or a page that counts.
    /// </summary>
    public Groups<T> Groups<T>() => new(_server.Shared(static s => new GroupRegistry(s)));

    /// <summary>Counts since the start.</summary>
    public ServerStatistics Statistics => new(_server.Counters.Snapshot());

    /// <summary>
    /// Serves until <paramref name="cancellationToken"/> is cancelled or the process gets SIGINT (Ctrl+C) or SIGTERM;
    /// then it drains within <see cref="ServerOptions.DrainTimeout"/>. Warnings go to standard error unless
    /// <see cref="ServerOptions.Logger"/> is set.
    /// </summary>
    /// <param name="endpoint">Where to listen, e.g. <c>:7007</c>, <c>tcp://*:9000</c>, <c>unix:/run/x</c>.</param>
    /// <param name="handler">Runs once per connection; when it returns the connection is closed in order.</param>
    /// <param name="configure">Sets limits and times.</param>
    /// <param name="cancellationToken">Ends the server.</param>
    /// <exception cref="InvalidSettingException">The endpoint cannot be listened on.</exception>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static async Task RunAsync(Endpoint endpoint, Func<Connection, Task> handler,
        Action<ServerOptions>? configure = null, CancellationToken cancellationToken = default)
    {
        var server = Start(endpoint, handler, Spoken(configure));
        await using (server.ConfigureAwait(false))
            await server.UntilStoppedAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The same for messages: <paramref name="handler"/> runs for one message after another.</summary>
    /// <param name="endpoint">Where to listen.</param>
    /// <param name="codec">Makes messages of bytes and bytes of messages.</param>
    /// <param name="handler">Runs serially per connection; messages that borrow memory are valid until it
    /// completes.</param>
    /// <param name="configure">Sets limits and times.</param>
    /// <param name="cancellationToken">Ends the server.</param>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static async Task RunAsync<T>(Endpoint endpoint, Codec<T> codec, Func<Session<T>, T, ValueTask> handler,
        Action<ServerOptions>? configure = null, CancellationToken cancellationToken = default)
    {
        var server = Start(endpoint, codec, handler, Spoken(configure));
        await using (server.ConfigureAwait(false))
            await server.UntilStoppedAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The same for messages of sessions that ask, send heartbeats or notice silence.</summary>
    /// <param name="endpoint">Where to listen.</param>
    /// <param name="codec">Makes messages of bytes and bytes of messages.</param>
    /// <param name="session">What every session does besides.</param>
    /// <param name="handler">Runs serially per connection; replies to own requests do not reach it.</param>
    /// <param name="configure">Sets limits and times.</param>
    /// <param name="cancellationToken">Ends the server.</param>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static async Task RunAsync<T>(Endpoint endpoint, Codec<T> codec, SessionOptions<T> session,
        Func<Session<T>, T, ValueTask> handler, Action<ServerOptions>? configure = null,
        CancellationToken cancellationToken = default)
    {
        var server = Start(endpoint, codec, session, handler, Spoken(configure));
        await using (server.ConfigureAwait(false))
            await server.UntilStoppedAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Binds and starts; the server runs until it is stopped or disposed.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static SocketServer Start(Endpoint endpoint, Func<Connection, Task> handler,
        Action<ServerOptions>? configure = null) => Start([endpoint], handler, configure);

    /// <summary>Binds and starts a server of messages.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static SocketServer Start<T>(Endpoint endpoint, Codec<T> codec, Func<Session<T>, T, ValueTask> handler,
        Action<ServerOptions>? configure = null) =>
        Start([endpoint], c => c.HandleAsync(codec, handler), Named(handler, configure));

    /// <summary>Binds and starts a server of messages whose sessions ask, send heartbeats or notice silence.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static SocketServer Start<T>(Endpoint endpoint, Codec<T> codec, SessionOptions<T> session,
        Func<Session<T>, T, ValueTask> handler, Action<ServerOptions>? configure = null) =>
        Start([endpoint], c => c.HandleAsync(codec, session, handler), Named(handler, configure));

    /// <summary>Binds all endpoints, or none: where one fails, those already bound are closed again.</summary>
    /// <exception cref="BindException">An address is in use, not local, or not permitted.</exception>
    public static SocketServer Start(IEnumerable<Endpoint> endpoints, Func<Connection, Task> handler,
        Action<ServerOptions>? configure = null) => Start([.. endpoints.Select(e => (e, handler))], configure);

    /// <summary>
    /// One server that speaks differently at each endpoint, e.g. lines for people and JSON for programs: groups, limits
    /// and the end are shared. Binds all endpoints, or none.
    /// </summary>
    /// <exception cref="BindException">An address is in use, not local, or not permitted.</exception>
    public static SocketServer Start(IReadOnlyList<(Endpoint Endpoint, Func<Connection, Task> Handler)> endpoints,
        Action<ServerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(endpoints);
        var options = new ServerOptions();
        configure?.Invoke(options);
        var server = new ConnectionServer(options);
        try
        {
            if (options.ForRooms.Count > 0)
                server.Shared(static s => new GroupRegistry(s)).Begin();
            server.Listen([.. endpoints.Select(e => (At: Engine.Bindable(e.Endpoint), e.Handler))
                .Select(e => (Engine.For(e.At, options.Transport), e.At, e.Handler))]);
            return new SocketServer(server, options);
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>A bare listener, for those who accept by hand.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static Listener Listen(Endpoint endpoint, TransportOptions? options = null)
    {
        if (endpoint.Kind == EndpointKind.Tls)
            throw new UnsupportedException("listen", endpoint.ToString(), "who accepts by hand gets connections in the "
                + "clear", "listen on tcp://, and call StartTlsAsync on each connection");
        options ??= new TransportOptions();
        return Engine.For(endpoint, options).Listen(Engine.Bindable(endpoint), options);
    }

    /// <summary>Stops accepting and closes the listeners; connections live on. Safe to call twice.</summary>
    public Task SuspendAsync() => _server.SuspendAsync();

    /// <summary>
    /// Ends the input of every connection, waits until their handlers have answered and left, and aborts those that
    /// have not at the deadline.
    /// </summary>
    /// <param name="timeout">Default <see cref="ServerOptions.DrainTimeout"/>.</param>
    /// <param name="cancellationToken">Ends the wait early; what is left is aborted.</param>
    public Task<DrainResult> DrainAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default) =>
        _server.DrainAsync(timeout ?? _options.DrainTimeout, cancellationToken);

    /// <summary>Suspends, then drains.</summary>
    public async Task<DrainResult> StopAsync(TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        await SuspendAsync().ConfigureAwait(false);
        return await DrainAsync(timeout, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops at once: whatever still runs is aborted. Call <see cref="StopAsync"/> first to drain.</summary>
    public async ValueTask DisposeAsync()
    {
        await SuspendAsync().ConfigureAwait(false);
        await _server.DisposeAsync().ConfigureAwait(false);
    }

    private static Action<ServerOptions> Named(Delegate handler, Action<ServerOptions>? configure) => options =>
    {
        options.HandlerName = CodeName.Of(handler);
        configure?.Invoke(options);
    };

    /// <summary>A whole program says its warnings unless it is told where to log.</summary>
    private static Action<ServerOptions> Spoken(Action<ServerOptions>? configure) => options =>
    {
        options.Logger = WarningsToStandardError.Instance;
        configure?.Invoke(options);
    };

    private async Task UntilStoppedAsync(CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }

        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        await Task.Delay(Timeout.Infinite, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await StopAsync().ConfigureAwait(false);
    }
}
