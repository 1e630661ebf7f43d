using Microsoft.Extensions.Logging;

namespace Mortise.Telemetry;

/// <summary>
/// Everything a server writes to its log. A failure is named by its symbol (<c>ECONNRESET</c>), never by a bare
/// number; text that comes from peers must be escaped by the caller before it gets here.
/// </summary>
internal static partial class ServerLog
{
    [LoggerMessage(1, LogLevel.Information, "Listening on {Endpoint} ({Engine})")]
    public static partial void Listening(ILogger logger, string endpoint, string engine);

    /// <summary>Which engine and why, once for each that a server uses.</summary>
    [LoggerMessage(10, LogLevel.Information, "Engine {Engine}")]
    public static partial void Engine(ILogger logger, string engine);

    [LoggerMessage(2, LogLevel.Debug, "Connection {Connection} accepted from {Peer} on {Endpoint}")]
    public static partial void Accepted(ILogger logger, string connection, string? peer, string endpoint);

    [LoggerMessage(3, LogLevel.Debug,
        "Connection {Connection} closed: {Reason}; {BytesReceived} bytes received, {BytesSent} sent")]
    public static partial void Closed(ILogger logger, string connection, string reason, long bytesReceived,
        long bytesSent);

    [LoggerMessage(4, LogLevel.Error, "The handler of connection {Connection} threw; the connection is closed")]
    public static partial void HandlerFault(ILogger logger, Exception exception, string connection);

    /// <summary>Once per burst: the loop goes on, with pauses.</summary>
    /// <summary>Once per time that it blocks.</summary>
    [LoggerMessage(11, LogLevel.Warning, "The handler {Handler} of connection {Connection} has blocked {Home} for "
        + "{Milliseconds} ms and counting (other connections on it: {Others}). Await instead of blocking, or set "
        + "Dispatch.ThreadPool")]
    public static partial void HomeBlocked(ILogger logger, string handler, string connection, string home,
        long milliseconds, int others);

    [LoggerMessage(5, LogLevel.Warning,
        "Accepting on {Endpoint} fails with {Symbol} ({Errno}): {Meaning}; trying again every {Pause}")]
    public static partial void AcceptErrors(ILogger logger, string endpoint, string symbol, int errno, string meaning,
        TimeSpan pause);

    [LoggerMessage(6, LogLevel.Information, "Accepting on {Endpoint} works again after {Errors} errors")]
    public static partial void AcceptRecovered(ILogger logger, string endpoint, long errors);

    /// <summary>Once per burst: newcomers wait in the kernel's queue.</summary>
    [LoggerMessage(7, LogLevel.Warning, "{Endpoint} is at its limit of {Limit} connections; newcomers wait. "
        + "To let in more, raise {Bound}")]
    public static partial void AtLimit(ILogger logger, string endpoint, long limit, string bound);

    [LoggerMessage(8, LogLevel.Debug, "A connection from {Peer} was rejected: {Reason}")]
    public static partial void Rejected(ILogger logger, string? peer, string reason);

    [LoggerMessage(9, LogLevel.Warning, "Connection {Connection} from {Peer} sent a bad frame: {Reason}: {Detail}")]
    public static partial void FrameError(ILogger logger, string connection, string? peer, string reason,
        string detail);

    [LoggerMessage(12, LogLevel.Warning, "Connection {Connection} from {Peer} did not open: {Reason}: {Detail}")]
    public static partial void NotOpened(ILogger logger, string connection, string? peer, string reason,
        string detail);

    [LoggerMessage(13, LogLevel.Warning,
        "Connection {Connection} from {Peer} reads too slowly, {BytesQueued} bytes wait: {Policy}")]
    public static partial void SlowReader(ILogger logger, long connection, string? peer, long bytesQueued,
        string policy);

    /// <summary>Once for each listener.</summary>
    [LoggerMessage(15, LogLevel.Warning, "{Endpoint}: {Bytes} bytes to {Peer} were dropped, because more would leave "
        + "than came, and a datagram's sender may be forged. Let the peer repeat a number that you sent it and call "
        + "ConfirmPeer, or set AllowAmplification")]
    public static partial void Amplification(ILogger logger, string endpoint, long bytes, string peer);

    /// <summary>Nothing but its end stops a socket that serves many peers from receiving.</summary>
    [LoggerMessage(16, LogLevel.Warning, "Receiving on {Endpoint} failed and goes on")]
    public static partial void ReceiveFault(ILogger logger, Exception exception, string endpoint);

    [LoggerMessage(23, LogLevel.Information, "Certificate {Name} was replaced; the new one is valid until {NotAfter}")]
    public static partial void CertificateReplaced(ILogger logger, string name, DateTime notAfter);

    [LoggerMessage(24, LogLevel.Warning, "Certificate {Name} changed and cannot be used, the old one stays: {Reason}")]
    public static partial void CertificateNotReplaced(ILogger logger, string name, string reason);

    [LoggerMessage(14, LogLevel.Error, "A broadcast to group {Group} has no encoding; nobody got it")]
    public static partial void NotEncoded(ILogger logger, Exception exception, string group);

    /// <summary>At most one line a second: those who flood must not flood the log too.</summary>
    [LoggerMessage(20, LogLevel.Warning, "Connection {Connection} from {Peer} is over its rate limit, {Limit}: "
        + "{Outcome}; {Others} more times since the last such line")]
    public static partial void OverRate(ILogger logger, long connection, string? peer, string limit, string outcome,
        long others);

    /// <summary>Once, until something works again.</summary>
    [LoggerMessage(21, LogLevel.Warning, "The backplane fails ({Operation}); groups reach the members on this server "
        + "only, until it works again")]
    public static partial void BackplaneFails(ILogger logger, Exception exception, string operation);

    [LoggerMessage(22, LogLevel.Warning, "What the backplane brought for group {Group} is no message; nobody got it")]
    public static partial void BadFromBackplane(ILogger logger, Exception exception, string group);
}
