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
        var transport = Engine.For(endpoint, options.Transport);
        return new Connector(transport, options).ConnectAsync(endpoint, cancellationToken);
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
}
