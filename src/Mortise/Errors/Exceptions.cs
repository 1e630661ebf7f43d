namespace Mortise;

/// <summary>
/// The base of every failure that Mortise reports: which operation, on which endpoint, the symbolic error, why, and
/// what to try. The <see cref="Exception.Message"/> holds all of them in that order.
/// </summary>
public class MortiseException : IOException
{
    /// <summary>
    /// Creates a failure; <paramref name="reason"/> is one sentence without the operation or endpoint.
    /// </summary>
    public MortiseException(string operation, string? endpoint, string symbol, string reason,
        string? hint = null, int errno = 0, Exception? inner = null)
        : base(null, inner)
    {
        Operation = operation;
        Endpoint = endpoint;
        Symbol = symbol;
        Reason = reason;
        // What the catalogue says of EINVAL is of calls to the kernel, and no setting has got there yet.
        Hint = hint ?? (this is InvalidSettingException ? null : Known(operation, symbol));
        Errno = errno;
    }

    /// <summary>The operation that failed, as the field names it: <c>bind</c>, <c>connect</c>, <c>recv</c>, …</summary>
    public string Operation { get; }

    /// <summary>The endpoint as text, or null where there is none.</summary>
    public string? Endpoint { get; private set; }

    /// <summary>
    /// The symbolic error: a POSIX name (<c>ECONNREFUSED</c>) or one of ours (<c>frame_too_long</c>);
    /// <see cref="ErrorCatalogue.TryFind"/> explains both.
    /// </summary>
    public string Symbol { get; }

    /// <summary>The Linux errno value, or 0 where the failure did not come from a system call.</summary>
    public int Errno { get; }

    /// <summary>One sentence that says what happened.</summary>
    public string Reason { get; }

    /// <summary>What to try next: from the thrower, else the catalogue's; null for a symbol it does not know.</summary>
    public string? Hint { get; }

    /// <inheritdoc/>
    public override string Message
    {
        get
        {
            var where = Endpoint is null ? Operation : $"{Operation} {Endpoint}";
            var name = Errno == 0 ? Symbol : $"{Symbol} {Errno}";
            return Hint is null ? $"{where}: {Reason} ({name})" : $"{where}: {Reason} ({name}); {Hint}";
        }
    }

    /// <summary>Says where it happened, when the thrower knows bytes but no connection.</summary>
    internal void At(string endpoint) => Endpoint ??= endpoint;

    private static string? Known(string operation, string symbol) =>
        ErrorCatalogue.TryFind(symbol, out var entry) ? entry.English.HintFor(operation) : null;
}

/// <summary>Text that is not an address, a framing rule or another setting; refused before any system call.</summary>
public sealed class InvalidSettingException(string operation, string text, string reason, string? hint = null)
    : MortiseException(operation, text, "EINVAL", reason, hint);

/// <summary>Listening could not start: the address is in use, not local, or not permitted.</summary>
public sealed class BindException(string endpoint, string symbol, string reason, string? hint = null, int errno = 0,
    Exception? inner = null) : MortiseException("bind", endpoint, symbol, reason, hint, errno, inner);

/// <summary>One try of a connect: which address, how long, and how it failed.</summary>
/// <param name="Address">The address tried, e.g. <c>127.0.0.1:9000</c>.</param>
/// <param name="Symbol">The symbolic error, e.g. <c>ECONNREFUSED</c>.</param>
/// <param name="Elapsed">Time from the first SYN to the failure.</param>
public readonly record struct ConnectAttempt(string Address, string Symbol, TimeSpan Elapsed);

/// <summary>No address of the endpoint accepted a connection; <see cref="Attempts"/> lists every try.</summary>
public sealed class ConnectException(string endpoint, string symbol, string reason, string? hint = null,
    int errno = 0, IReadOnlyList<ConnectAttempt>? attempts = null, Exception? inner = null)
    : MortiseException("connect", endpoint, symbol, reason, hint, errno, inner)
{
    /// <summary>Every address tried, in order.</summary>
    public IReadOnlyList<ConnectAttempt> Attempts { get; } = attempts ?? [];
}

/// <summary>A live connection failed or was used after its end; <see cref="CloseReason"/> says why it ended.</summary>
public sealed class ConnectionException(string operation, string? endpoint, CloseReason closeReason, string symbol,
    string reason, string? hint = null, int errno = 0, Exception? inner = null)
    : MortiseException(operation, endpoint, symbol, reason, hint, errno, inner)
{
    /// <summary>Why the connection is over.</summary>
    public CloseReason CloseReason { get; } = closeReason;
}

/// <summary>
/// What comes before a connection's first byte went wrong: the PROXY header (<c>proxy</c>) or TLS (<c>tls</c>).
/// </summary>
public sealed class HandshakeException(string operation, CloseReason closeReason, string reason, string? hint = null,
    string? endpoint = null, Exception? inner = null)
    : MortiseException(operation, endpoint, closeReason.Name(), reason, hint, 0, inner)
{
    /// <summary><see cref="CloseReason.ProxyHeader"/>, <see cref="CloseReason.Tls"/> or
    /// <see cref="CloseReason.HandshakeTimeout"/>.</summary>
    public CloseReason CloseReason { get; } = closeReason;
}

/// <summary>Bytes broke the framing rule; nothing is allocated for a length that was only announced.</summary>
public sealed class FrameException(CloseReason closeReason, string reason, string? hint = null,
    string? endpoint = null) : MortiseException("frame", endpoint, closeReason.Name(), reason, hint)
{
    /// <summary>
    /// <see cref="CloseReason.FrameTooLong"/>, <see cref="CloseReason.FrameInvalid"/> or
    /// <see cref="CloseReason.UnexpectedEof"/>.
    /// </summary>
    public CloseReason CloseReason { get; } = closeReason;

    /// <summary>The length that the peer announced, or -1 where the rule has none.</summary>
    public long AnnouncedBytes { get; init; } = -1;

    /// <summary>The largest frame the rule allows, or -1.</summary>
    public long FrameBytesMax { get; init; } = -1;

    /// <summary>For a truncated frame: bytes that had arrived, or -1.</summary>
    public long HaveBytes { get; init; } = -1;

    /// <summary>For a truncated frame: bytes that were needed, or -1 where the rule cannot know.</summary>
    public long NeedBytes { get; init; } = -1;
}

/// <summary>A name could not be turned into addresses, or an address into a name.</summary>
public sealed class ResolveException(string name, string symbol, string reason, string? hint = null,
    Exception? inner = null) : MortiseException("resolve", name, symbol, reason, hint, 0, inner);

/// <summary>A wait ended before the operation did.</summary>
public sealed class TimedOutException(string operation, string? endpoint, string reason, string? hint = null)
    : MortiseException(operation, endpoint, "ETIMEDOUT", reason, hint, 110);

/// <summary>This system, kernel or build cannot do what was asked.</summary>
public sealed class UnsupportedException(string operation, string? endpoint, string reason, string? hint = null,
    string symbol = "ENOTSUP", int errno = 0)
    : MortiseException(operation, endpoint, symbol, reason, hint, errno);

/// <summary>
/// A group would be one too many, or its name too long. Names come from peers: answer them, or let the exception end
/// the handler and with it the connection.
/// </summary>
public sealed class GroupLimitException(string group, string reason, string? hint = null)
    : MortiseException("group", group, "group_limit", reason, hint);

/// <summary>What is known of a message whose sending failed.</summary>
public enum SendOutcome
{
    /// <summary>No byte of it was given to the kernel: it can be sent again without being there twice.</summary>
    NeverSent,
    /// <summary>
    /// It was on its way when the connection ended: the peer has got it or not. Only who can tell a repetition may
    /// send it again.
    /// </summary>
    Unknown,
}

/// <summary>
/// A <see cref="SocketClient{T}"/> did not send a message, or does not know whether it did: <see cref="Outcome"/> says
/// which. The inner exception, where there is one, is why there was no connection, or why it ended.
/// </summary>
public sealed class UndeliveredException(string operation, string? endpoint, SendOutcome outcome, string symbol,
    string reason, string? hint = null, Exception? inner = null)
    : MortiseException(operation, endpoint, symbol, reason, hint, inner: inner)
{
    /// <summary>What is known of the message.</summary>
    public SendOutcome Outcome { get; } = outcome;

    /// <summary>Why the connection ended that was to carry it; null where there was none.</summary>
    public CloseReason? CloseReason => (InnerException as ConnectionException)?.CloseReason;
}
