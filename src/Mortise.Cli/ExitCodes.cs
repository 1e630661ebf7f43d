namespace Mortise.Cli;

/// <summary>The exit codes of the command's contract; a script may rely on each.</summary>
internal static class ExitCodes
{
    public const int Ok = 0, NotMet = 1, Usage = 2, NameNotFound = 3, Refused = 4, TimedOut = 5, Unreachable = 6,
        CannotBind = 7, Reset = 8, Protocol = 9, Tls = 10, Permission = 11, Unsupported = 12, Exhausted = 13,
        Unexpected = 70, Interrupted = 130;

    /// <summary>For --help.</summary>
    public const string Told = """
        Exit codes:
            0  done, drained               7  cannot bind
            1  not met: --expect, ps       8  reset, broken pipe
            2  usage, bad rule, address    9  framing or protocol error, truncated
            3  name not found             10  TLS failure
            4  refused                    11  permission
            5  timed out                  12  not supported on this system
            6  unreachable                13  out of descriptors, memory or disk
           70  an error that Mortise did not foresee
          130  interrupted: what had to be done is not. connect, send, play and listen close in order at the first
               Ctrl+C or SIGTERM; serve and listen --keep drain at the first and exit 0, a second one aborts
        """;

    /// <summary>The code of a failure; <see cref="Unexpected"/> for what no part of Mortise foresaw.</summary>
    public static int Of(Exception failure) => failure switch
    {
        ClosedOutputException => Ok,
        InvalidSettingException => Usage,
        UnsupportedException => Unsupported,
        TimedOutException => TimedOut,
        FrameException => Protocol,
        MortiseException known => OfSymbol(known.Symbol) ?? OfKind(known),
        OperationCanceledException => Interrupted,
        UnauthorizedAccessException => Permission,
        _ => Unexpected,
    };

    private static int? OfSymbol(string symbol) => symbol switch
    {
        "ECONNREFUSED" => Refused,
        "ETIMEDOUT" => TimedOut,
        "EHOSTUNREACH" or "ENETUNREACH" or "EHOSTDOWN" or "ENETDOWN" => Unreachable,
        "EADDRINUSE" or "EADDRNOTAVAIL" => CannotBind,
        "ECONNRESET" or "EPIPE" or "ECONNABORTED" or "reset" => Reset,
        "EACCES" or "EPERM" => Permission,
        "EMFILE" or "ENFILE" or "ENOMEM" or "ENOBUFS" or "ENOSPC" or "EDQUOT" => Exhausted,
        "EAFNOSUPPORT" or "EPROTONOSUPPORT" or "ESOCKTNOSUPPORT" or "ENOTSUP" or "EOPNOTSUPP" => Unsupported,
        "tls" => Tls,
        "handshake_timeout" => TimedOut,
        _ => null,
    };

    private static int OfKind(MortiseException failure) => failure switch
    {
        ResolveException => NameNotFound,
        BindException => CannotBind,
        ConnectException => failure.Symbol is "EINVAL" ? Unreachable : Refused,
        ConnectionException { CloseReason: CloseReason.Tls } => Tls,
        ConnectionException { CloseReason: CloseReason.PeerDead or CloseReason.Idle } => TimedOut,
        ConnectionException => Reset,
        _ => Unexpected,
    };
}
