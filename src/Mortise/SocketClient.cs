using Mortise.Client;

namespace Mortise;

/// <summary>Connects to servers.</summary>
/// <example>
/// <code>
/// await using var s = await SocketClient.ConnectAsync(":7007", Codec.Lines());
/// await s.SendAsync("hello");
/// Console.WriteLine(await s.ReceiveAsync());
/// </code>
/// </example>
public static class SocketClient
{
    /// <summary>Connects, trying every address of the name (RFC 8305).</summary>
    /// <exception cref="ConnectException">No address answered; it lists every attempt.</exception>
    /// <exception cref="ResolveException">The name has no address.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; no descriptor is left behind.</exception>
    public static ValueTask<Connection> ConnectAsync(Endpoint endpoint, Action<ClientOptions>? configure = null,
        CancellationToken cancellationToken = default)
    {
        var options = new ClientOptions();
        configure?.Invoke(options);
        options.Transport.Home = SynchronizationContext.Current; // here: a name that is looked up leads elsewhere
        return DialAsync(endpoint, options, cancellationToken);
    }

    /// <summary>Connects and speaks messages.</summary>
    /// <exception cref="ConnectException">No address answered; it lists every attempt.</exception>
    /// <exception cref="ResolveException">The name has no address.</exception>
    public static async ValueTask<Session<T>> ConnectAsync<T>(Endpoint endpoint, Codec<T> codec,
        Action<ClientOptions>? configure = null, CancellationToken cancellationToken = default) =>
        new(await ConnectAsync(endpoint, configure, cancellationToken).ConfigureAwait(false), codec);

    /// <summary>
    /// Connects and speaks messages, and asks: the session reads from the start, and what nobody receives waits
    /// (<see cref="SessionOptions{T}.ReceiveQueueBytesMax"/>).
    /// </summary>
    /// <exception cref="ConnectException">No address answered; it lists every attempt.</exception>
    /// <exception cref="ResolveException">The name has no address.</exception>
    public static async ValueTask<Session<T>> ConnectAsync<T>(Endpoint endpoint, Codec<T> codec,
        SessionOptions<T> session, Action<ClientOptions>? configure = null,
        CancellationToken cancellationToken = default)
    {
        var connection = await ConnectAsync(endpoint, configure, cancellationToken).ConfigureAwait(false);
        return new Session<T>(connection, codec, session).Begin();
    }

    /// <summary>
    /// A client that connects now and comes back whenever its connection ends, until it is disposed.
    /// </summary>
    /// <param name="endpoint">Of the server; a name is looked up again for each attempt.</param>
    /// <param name="codec">Makes messages of bytes and bytes of messages.</param>
    /// <param name="configure">Pauses, login, what happens to messages while there is no connection.</param>
    /// <exception cref="UnsupportedException">No transport here carries the endpoint.</exception>
    /// <example>
    /// <code>
    /// await using var client = SocketClient.Create("chat.example:7007", Codec.Lines(), o =>
    ///     o.OnConnected = (s, ct) => s.SendAsync("login dev", ct));
    /// await client.SendAsync("hello");
    /// await foreach (var line in client.Messages)
    ///     Console.WriteLine(line);
    /// </code>
    /// </example>
    public static SocketClient<T> Create<T>(Endpoint endpoint, Codec<T> codec,
        Action<SocketClientOptions<T>>? configure = null) => Create([endpoint], codec, configure);

    /// <summary>The same with several servers: in their order, the last good one first.</summary>
    /// <exception cref="ArgumentException">There is no endpoint.</exception>
    /// <exception cref="UnsupportedException">No transport here carries one of the endpoints.</exception>
    public static SocketClient<T> Create<T>(IEnumerable<Endpoint> endpoints, Codec<T> codec,
        Action<SocketClientOptions<T>>? configure = null)
    {
        Endpoint[] all = [.. endpoints];
        if (all.Length == 0)
            throw new ArgumentException("A client needs at least one endpoint.", nameof(endpoints));
        var options = new SocketClientOptions<T>();
        configure?.Invoke(options);
        foreach (var endpoint in all)
            Engine.For(endpoint, options.Transport); // what can never be must not be tried for ever
        return new SocketClient<T>(all, codec, options, (endpoint, stop) => DialAsync(endpoint, options, stop));
    }

    /// <summary>
    /// A pool of connections that are lent to one user at a time each, for protocols in which a reply is known by its
    /// order alone. It connects when somebody rents.
    /// </summary>
    /// <exception cref="InvalidSettingException"><see cref="SocketClientPoolOptions{T}.Session"/> has no
    /// <see cref="SessionOptions{T}.Correlation"/>, so nobody could know which connection still owes a
    /// reply.</exception>
    /// <exception cref="UnsupportedException">No transport here carries the endpoint.</exception>
    public static SocketClientPool<T> CreatePool<T>(Endpoint endpoint, Codec<T> codec,
        Action<SocketClientPoolOptions<T>>? configure = null)
    {
        var options = new SocketClientPoolOptions<T>();
        configure?.Invoke(options);
        Engine.For(endpoint, options.Transport); // what can never be is told now
        if (options.Session.Correlation is null)
        {
            throw new InvalidSettingException("pool", endpoint.ToString(), "nothing says how a reply finds its "
                + "request, so nobody knows which connection still owes one to the tenant before",
                "set Correlation in SocketClientPoolOptions.Session, e.g. to Correlate.InOrder");
        }

        return new SocketClientPool<T>(options, async stop =>
        {
            var connection = await DialAsync(endpoint, options, stop).ConfigureAwait(false);
            var session = new Session<T>(connection, codec, options.Session, readsAhead: true).Begin();
            try
            {
                if (options.OnConnected is { } logIn)
                    await logIn(session, stop).ConfigureAwait(false);
                session.HasTold = false; // what the login sent is the pool's
                return session;
            }
            catch
            {
                session.Abort();
                throw;
            }
        });
    }

    private static ValueTask<Connection> DialAsync(Endpoint endpoint, ClientOptions options,
        CancellationToken cancellationToken)
    {
        if (options.ProxyHeader is not null && endpoint.IsDatagram)
            throw new UnsupportedException("connect", endpoint.ToString(), "a PROXY header leads a stream",
                "leave ClientOptions.ProxyHeader out, or use tcp://");
        return new Connector(Engine.For(endpoint, options.Transport), options).ConnectAsync(endpoint,
            cancellationToken);
    }
}
