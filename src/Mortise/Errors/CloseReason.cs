namespace Mortise;

/// <summary>
/// Why a connection ended. The snake_case <see cref="CloseReasons.Name"/> is the metric tag, the log word and a name
/// that <see cref="ErrorCatalogue"/> explains.
/// </summary>
public enum CloseReason
{
    /// <summary>The peer closed in order (FIN) and everything was answered.</summary>
    Eof,
    /// <summary>The peer, or something between, reset the connection (RST, ECONNRESET, EPIPE).</summary>
    Reset,
    /// <summary>This side finished: the handler returned or the owner closed.</summary>
    Local,
    /// <summary>Nothing was received for the receive-idle time.</summary>
    Idle,
    /// <summary>TLS, PROXY header or first frame did not complete in the handshake time.</summary>
    HandshakeTimeout,
    /// <summary>A begun frame did not complete in time, or came slower than the least rate.</summary>
    ReceiveTooSlow,
    /// <summary>The peer did not take bytes for the write-stall time.</summary>
    WriteStalled,
    /// <summary>More bytes were queued for the peer than its queue may hold.</summary>
    SlowReader,
    /// <summary>A frame announced or reached more bytes than the framing rule allows.</summary>
    FrameTooLong,
    /// <summary>Bytes that no frame of the rule can start with or contain.</summary>
    FrameInvalid,
    /// <summary>The stream ended inside a frame.</summary>
    UnexpectedEof,
    /// <summary>The PROXY protocol header was absent, malformed or from a source that is not trusted.</summary>
    ProxyHeader,
    /// <summary>TLS failed: handshake, certificate or truncation.</summary>
    Tls,
    /// <summary>The peer sent more than its rate limit allows.</summary>
    RateLimit,
    /// <summary>The handler threw; only its own connection is closed.</summary>
    HandlerFault,
    /// <summary>Keep-alive or TCP_USER_TIMEOUT gave the peer up (ETIMEDOUT).</summary>
    PeerDead,
    /// <summary>The server is stopping and the drain time ended this connection.</summary>
    Drain,
    /// <summary>This side aborted: bytes not yet sent were thrown away and the peer sees RST.</summary>
    Abort,
}

/// <summary>The stable names of <see cref="CloseReason"/>.</summary>
public static class CloseReasons
{
    private static readonly string[] Names =
    [
        "eof", "reset", "local", "idle", "handshake_timeout", "receive_too_slow", "write_stalled", "slow_reader",
        "frame_too_long", "frame_invalid", "unexpected_eof", "proxy_header", "tls", "rate_limit", "handler_fault",
        "peer_dead", "drain", "abort",
    ];

    /// <summary>The snake_case name that metrics, logs and NDJSON events carry, e.g. <c>unexpected_eof</c>.</summary>
    public static string Name(this CloseReason reason) => Names[(int)reason];

    /// <summary>The reason, where code above the engine can know that it is true.</summary>
    /// <exception cref="ArgumentOutOfRangeException">What the kernel said, what the server decides, an abort, or no
    /// reason at all.</exception>
    internal static CloseReason Given(this CloseReason reason) => reason switch
    {
        CloseReason.Reset or CloseReason.PeerDead or CloseReason.WriteStalled or CloseReason.HandlerFault
            or CloseReason.Drain => throw new ArgumentOutOfRangeException(nameof(reason), reason,
                $"Only the engine can say that a connection ended for {reason.Name()}; give local, eof, or what your "
                + "protocol found"),
        CloseReason.Abort => throw new ArgumentOutOfRangeException(nameof(reason), reason,
            "An end in order is no abort; call Abort"),
        < 0 or > CloseReason.Abort => throw new ArgumentOutOfRangeException(nameof(reason), reason,
            "There is no such close reason"),
        _ => reason,
    };
}
