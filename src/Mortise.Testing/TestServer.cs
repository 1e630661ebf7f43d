namespace Mortise.Testing;

/// <summary>
/// Your server inside the test: no port, a network of its own that can be as bad as you ask, and clients whose every
/// wait ends.
/// </summary>
/// <example>
/// <code>
/// await using var server = TestServer.Start(Codec.Lines(), (s, line) => s.SendAsync(line.ToUpperInvariant()));
/// server.Network.FragmentTo(1);
/// await using var client = await server.ConnectAsync();
/// await client.SendAsync("hello");
/// Assert.Equal("HELLO", await client.ReceiveAsync());
/// </code>
/// </example>
public static class TestServer
{
    /// <summary>Starts a server of messages.</summary>
    /// <param name="codec">What the server speaks, and what its test clients speak.</param>
    /// <param name="handler">As <see cref="SocketServer.Start{T}(Endpoint, Codec{T}, Func{Session{T}, T, ValueTask},
    /// Action{ServerOptions})"/> takes it.</param>
    /// <param name="configure">Limits and times; <c>o.Transport.Time = new ManualTime()</c> stops the clock.</param>
    public static TestServer<T> Start<T>(Codec<T> codec, Func<Session<T>, T, ValueTask> handler,
        Action<ServerOptions>? configure = null) => Start(codec, c => c.HandleAsync(codec, handler), configure);

    /// <summary>Starts a server of messages whose sessions ask, send heartbeats or notice silence.</summary>
    /// <param name="codec">What the server speaks, and what its test clients speak.</param>
    /// <param name="session">What every session of the server does besides.</param>
    /// <param name="handler">Runs for one message after another.</param>
    /// <param name="configure">Limits and times.</param>
    public static TestServer<T> Start<T>(Codec<T> codec, SessionOptions<T> session,
        Func<Session<T>, T, ValueTask> handler, Action<ServerOptions>? configure = null) =>
        Start(codec, c => c.HandleAsync(codec, session, handler), configure);

    /// <summary>Starts a server of bytes; the codec is what its test clients speak.</summary>
    /// <param name="codec">What the test clients speak; <c>Codec.Raw()</c> for bytes.</param>
    /// <param name="handler">Runs once per connection.</param>
    /// <param name="configure">Limits and times.</param>
    public static TestServer<T> Start<T>(Codec<T> codec, Func<Connection, Task> handler,
        Action<ServerOptions>? configure = null) => new(codec, handler, configure);
}

/// <summary>A running server inside the test; <see cref="TestServer"/> starts it.</summary>
public sealed class TestServer<T> : IAsyncDisposable
{
    private static readonly Endpoint s_place = "mem:test";

    private readonly MemoryNetwork _network = new();
    private readonly Codec<T> _codec;
    private readonly TestLog _log = new();

    internal TestServer(Codec<T> codec, Func<Connection, Task> handler, Action<ServerOptions>? configure)
    {
        _codec = codec;
        Server = SocketServer.Start(s_place, handler, o =>
        {
            o.Transport.Memory = _network;
            o.Logger = _log;
            configure?.Invoke(o);
        });
    }

    /// <summary>The server itself: its connections, groups, statistics, and its stop.</summary>
    public SocketServer Server { get; }

    /// <summary>The network between the server and all its clients, perfect until you say otherwise.</summary>
    public NetworkFaults Network => _network.Faults(s_place);

    /// <summary>
    /// Warnings and errors that the server has logged, the oldest first: what a handler threw stands here. Empty where
    /// <see cref="ServerOptions.Logger"/> was set to another one.
    /// </summary>
    public IReadOnlyList<string> Log => _log.Lines;

    /// <summary>Connects one more client.</summary>
    /// <param name="session">What its session does besides, e.g. ask (<see cref="Session{T}.RequestAsync"/>).</param>
    public async Task<TestClient<T>> ConnectAsync(SessionOptions<T>? session = null)
    {
        void Here(ClientOptions options) => options.Transport.Memory = _network;
        var connecting = session is null ? SocketClient.ConnectAsync(s_place, _codec, Here)
            : SocketClient.ConnectAsync(s_place, _codec, session, Here);
        return new(await connecting.ConfigureAwait(false), _log);
    }

    /// <summary>Ends everything at once.</summary>
    public ValueTask DisposeAsync() => Server.DisposeAsync();
}
