namespace Mortise;

/// <summary>TLS on a connection that is open already (STARTTLS), either side.</summary>
public static class ConnectionTls
{
    /// <summary>
    /// Encrypts the connection from here on, as the server. The same connection goes on: <see
    /// cref="Connection.Input"/> and <see cref="Connection.Output"/> are the encrypted pipes then, so take them anew.
    /// Before the call, consume what asked for TLS, answer, and have nobody else read or write.
    /// </summary>
    /// <remarks>
    /// Whatever the peer sent behind its request in the clear is taken for the beginning of TLS, which it is not: the
    /// handshake fails. It never counts as sent under TLS (CVE-2011-0411). On a message handler's <see
    /// cref="Session{T}"/> this cannot work, for the session holds the bytes of the message: greet with the <see
    /// cref="Connection"/>, then call <see cref="ConnectionMessages"/>.
    /// </remarks>
    /// <param name="connection">A connection in the clear.</param>
    /// <param name="options">The certificate, and all else.</param>
    /// <param name="cancellationToken">Ends the wait for the peer; the connection cannot be used then.</param>
    /// <exception cref="HandshakeException">There will be no TLS; let the handler end, which closes.</exception>
    /// <exception cref="ConnectionException">The connection ended before.</exception>
    /// <exception cref="InvalidOperationException">The connection is encrypted already.</exception>
    /// <example><code>
    /// await connection.SendAsync("220 go ahead\r\n"u8.ToArray());
    /// await connection.StartTlsAsync(tls);
    /// </code></example>
    public static ValueTask StartTlsAsync(this Connection connection, TlsServerOptions options,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(options);
        RefuseTwice(connection);
        options.Check(connection.LocalEndpoint.ToString());
        return connection.AtHome(new ValueTask(options.OpenAsync(connection, cancellationToken)));
    }

    /// <summary>
    /// Encrypts the connection from here on, as the client, once the server has said yes; else as the other overload.
    /// </summary>
    /// <param name="connection">A connection in the clear.</param>
    /// <param name="serverName">The host whose certificate the server must show.</param>
    /// <param name="options">Whom to trust, and all else; null: the roots of the system.</param>
    /// <param name="cancellationToken">Ends the wait for the peer; the connection cannot be used then.</param>
    /// <exception cref="HandshakeException">There will be no TLS, or the server is not who it should be, or it went on
    /// in the clear after its answer; dispose the connection.</exception>
    /// <exception cref="ConnectionException">The connection ended before.</exception>
    /// <exception cref="InvalidOperationException">The connection is encrypted already.</exception>
    public static ValueTask StartTlsAsync(this Connection connection, string serverName,
        TlsClientOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(serverName);
        RefuseTwice(connection);
        RefuseRest(connection);
        return connection.AtHome(new ValueTask(
            (options ?? new()).OpenAsync(connection, serverName, cancellationToken)));
    }

    /// <summary>The server never speaks first in TLS: what is there already came in the clear, from anybody.</summary>
    private static void RefuseRest(Connection connection)
    {
        if (!connection.WireInput.TryRead(out var read))
            return;
        var rest = read.Buffer.Length;
        connection.WireInput.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
        if (rest > 0)
            throw new HandshakeException("tls", CloseReason.Tls,
                $"{rest} bytes in the clear follow the server's answer, and could have come from anybody",
                "consume the whole answer first; else somebody between tries to smuggle them in (CVE-2011-0411)",
                connection.RemoteEndpoint.ToString());
    }

    private static void RefuseTwice(Connection connection)
    {
        ArgumentNullException.ThrowIfNull(connection);
        if (connection.Tls is not null)
            throw new InvalidOperationException("The connection is encrypted already.");
        if (connection.KeepsBoundaries)
            throw new UnsupportedException("tls", connection.RemoteEndpoint.ToString(),
                "TLS needs a stream, and this connection carries packets", "use tcp:// or unix:");
    }
}
