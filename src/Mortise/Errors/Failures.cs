using System.Net.Sockets;

namespace Mortise.Errors;

/// <summary>
/// Turns what the system said into the exception that a caller sees, so that no other room writes error text: the
/// reason is the catalogue's meaning and what else is known of this case. The exceptions find their hint themselves.
/// </summary>
internal static class Failures
{
    private const int Enoent = 2;

    /// <summary>Listening failed; <paramref name="more"/> is e.g. <c>held by pid 4242 (dotnet)</c>.</summary>
    public static BindException Bind(SocketException cause, string endpoint, string? more = null) =>
        Bind(Entry(cause, endpoint), endpoint, more, cause);

    /// <summary>Listening failed in a system call of our own.</summary>
    public static BindException Bind(int errno, string endpoint, string? more = null) =>
        Bind(ErrorCatalogue.ByErrno(errno), endpoint, more, null);

    /// <summary>The last of <paramref name="attempts"/> failed with <paramref name="cause"/>.</summary>
    public static ConnectException Connect(SocketException cause, string endpoint,
        IReadOnlyList<ConnectAttempt>? attempts = null, string? more = null) =>
        Connect(Entry(cause, endpoint), endpoint, attempts, more, cause);

    /// <summary>Connecting failed in a system call of our own.</summary>
    public static ConnectException Connect(int errno, string endpoint,
        IReadOnlyList<ConnectAttempt>? attempts = null, string? more = null) =>
        Connect(ErrorCatalogue.ByErrno(errno), endpoint, attempts, more, null);

    /// <summary>A live connection failed in <paramref name="operation"/> (<c>recv</c>, <c>send</c>, …).</summary>
    public static ConnectionException Transfer(string operation, string? endpoint, SocketException cause,
        string? more = null) => Transfer(operation, endpoint, ErrorCatalogue.From(cause), more, cause);

    /// <summary>A live connection failed in a system call of our own.</summary>
    public static ConnectionException Transfer(string operation, string? endpoint, int errno, string? more = null) =>
        Transfer(operation, endpoint, ErrorCatalogue.ByErrno(errno), more, null);

    /// <summary>The connection was used after it had ended for <paramref name="reason"/>.</summary>
    public static ConnectionException Closed(string operation, string? endpoint, CloseReason reason,
        string? more = null, Exception? inner = null)
    {
        ErrorCatalogue.TryFind(reason.Name(), out var entry);
        return new(operation, endpoint, reason, entry.Symbol, Reason(entry, more), inner: inner);
    }

    /// <summary>A name did not become an address.</summary>
    public static ResolveException Resolve(SocketException cause, string name)
    {
        var entry = ErrorCatalogue.From(cause);
        return new(name, entry.Symbol, Reason(entry, null), inner: cause);
    }

    /// <summary>The entry of a failure on <paramref name="endpoint"/>, with the runtime's detours taken back.</summary>
    public static ErrorEntry Entry(SocketException cause, string endpoint)
    {
        // .NET reports ENOENT, which a Unix path can have and an IP address cannot, as AddressNotAvailable.
        var lostPath = cause.SocketErrorCode == SocketError.AddressNotAvailable && !OperatingSystem.IsWindows()
            && endpoint.StartsWith("unix", StringComparison.Ordinal);
        return lostPath ? ErrorCatalogue.ByErrno(Enoent) : ErrorCatalogue.From(cause);
    }

    /// <summary>Why a connection ends on this failure: the word for metrics and logs.</summary>
    public static CloseReason CloseReasonOf(ErrorEntry entry) => entry.Symbol switch
    {
        "ETIMEDOUT" or "EHOSTUNREACH" or "ENETUNREACH" or "EHOSTDOWN" or "ENETDOWN" => CloseReason.PeerDead,
        "ECANCELED" or "EBADF" or "ESHUTDOWN" or "ENOTCONN" => CloseReason.Local,
        _ => CloseReason.Reset,
    };

    private static BindException Bind(ErrorEntry entry, string endpoint, string? more, Exception? cause) =>
        new(endpoint, entry.Symbol, Reason(entry, more), errno: entry.Errno, inner: cause);

    private static ConnectException Connect(ErrorEntry entry, string endpoint,
        IReadOnlyList<ConnectAttempt>? attempts, string? more, Exception? cause)
    {
        var (reason, hint) = endpoint.StartsWith("unix", StringComparison.Ordinal)
            ? OnSocketFile(entry.Symbol, endpoint[(endpoint.IndexOf(':') + 1)..])
            : default;
        return new(endpoint, entry.Symbol, reason ?? Reason(entry, more), hint, entry.Errno, attempts, cause);
    }

    /// <summary>The catalogue speaks of RST, hosts and routes here; a socket file has none of them.</summary>
    private static (string? Reason, string? Hint) OnSocketFile(string symbol, string path) => symbol switch
    {
        "ECONNREFUSED" => ("no process is listening: its server was killed and left the file behind, or does not "
            + "accept yet", "look at the Unix listeners with `ss -lx`, then start the server"),
        "EACCES" => ("permission denied: connecting takes the right to write to the socket file, and to enter its "
            + "directory", $"see who may: `namei -l {path}`"),
        _ => default,
    };

    private static ConnectionException Transfer(string operation, string? endpoint, ErrorEntry entry, string? more,
        Exception? cause)
    {
        // The catalogue's RST is TCP's; UDP hears of a closed port by ICMP.
        var icmp = entry.Symbol == "ECONNREFUSED" && endpoint?.StartsWith("udp", StringComparison.Ordinal) == true;
        return new(operation, endpoint, CloseReasonOf(entry), entry.Symbol,
            icmp ? "no process has this port: an earlier datagram came back as ICMP port unreachable"
                : Reason(entry, more),
            icmp ? "on the server look at `ss -lunp`: is the port there, and on which address?" : null,
            entry.Errno, cause);
    }

    private static string Reason(ErrorEntry entry, string? more) =>
        more is null ? entry.English.Meaning : $"{entry.English.Meaning}: {more}";
}
