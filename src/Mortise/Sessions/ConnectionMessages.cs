using Mortise.Sessions;

namespace Mortise;

/// <summary>From bytes to messages inside a handler, e.g. after a greeting or for state per connection.</summary>
public static class ConnectionMessages
{
    /// <summary>
    /// A session before the peer's first message: to greet it, to let it join groups, to keep the session somewhere.
    /// Then handle what comes with <see cref="Session{T}.HandleAsync"/>. Make one for each connection.
    /// </summary>
    /// <example>
    /// <code>
    /// SocketServer.RunAsync(":7007", async c =>
    /// {
    ///     var session = c.AsSession(Codec.Lines());
    ///     session.Groups["lobby"].Add(session);
    ///     await session.SendAsync("welcome");
    ///     await session.HandleAsync((s, line) => s.SendAsync(line));
    /// });
    /// </code>
    /// </example>
    public static Session<T> AsSession<T>(this Connection connection, Codec<T> codec,
        SessionOptions<T>? options = null) => new(connection, codec, options);

    /// <summary>
    /// Calls <paramref name="handler"/> for one message after another until the peer finishes, as a server of messages
    /// does. Whatever stood before the first message must have been consumed from <see cref="Connection.Input"/>.
    /// </summary>
    /// <exception cref="FrameException">Bytes broke the framing rule, or the stream ended inside a frame.</exception>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    /// <example>
    /// <code>
    /// SocketServer.RunAsync(":7007", c =>
    /// {
    ///     var count = 0;
    ///     return c.HandleAsync(Codec.Lines(), (s, line) => s.SendAsync($"{++count} {line}"));
    /// });
    /// </code>
    /// </example>
    public static Task HandleAsync<T>(this Connection connection, Codec<T> codec,
        Func<Session<T>, T, ValueTask> handler) => new Session<T>(connection, codec).RunAsync(handler);

    /// <summary>The same for sessions that ask, send heartbeats or notice silence.</summary>
    /// <remarks>
    /// On a connection accepted by hand, <see cref="Correlate"/> numbers requests as the side that connected does: say
    /// by <c>isReply</c> what a reply is.
    /// </remarks>
    /// <exception cref="FrameException">Bytes broke the framing rule, or the stream ended inside a frame.</exception>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    public static Task HandleAsync<T>(this Connection connection, Codec<T> codec, SessionOptions<T> options,
        Func<Session<T>, T, ValueTask> handler) => new Session<T>(connection, codec, options).RunAsync(handler);
}
