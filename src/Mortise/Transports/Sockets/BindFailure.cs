using System.Net.NetworkInformation;
using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise.Transports.Sockets;

/// <summary>A failed bind in words: who holds the address, which addresses exist, which ports are privileged.</summary>
internal static class BindFailure
{
    private const string PrivilegedPath = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

    public static BindException Of(SocketException cause, Endpoint endpoint)
    {
        var more = cause.SocketErrorCode switch
        {
            SocketError.AddressAlreadyInUse => PortHolder.Of(endpoint)?.ToString(),
            SocketError.AddressNotAvailable when !endpoint.IsUnix => LocalAddresses(),
            SocketError.AccessDenied when IsPrivileged(endpoint, out var first) =>
                $"ports below {first} are privileged, and {endpoint.Port} is one",
            _ => null,
        };
        var failure = Failures.Bind(cause, endpoint.ToString(), more);
        return HintFor(failure.Symbol, endpoint) is { } hint
            ? new BindException(endpoint.ToString(), failure.Symbol, failure.Reason, hint, failure.Errno, cause)
            : failure;
    }

    /// <summary>What to try where more is known than the catalogue can know, or null.</summary>
    private static string? HintFor(string symbol, Endpoint endpoint) => symbol switch
    {
        "EACCES" when IsPrivileged(endpoint, out _) =>
            "choose a port from 1024 up, give the right (`setcap cap_net_bind_service=+ep PROGRAM`), or lower the "
            + $"boundary (`sysctl net.ipv4.ip_unprivileged_port_start={endpoint.Port}`)",
        "EACCES" when endpoint.IsUnix =>
            $"see who may write there: `namei -l {Path.GetDirectoryName(Path.GetFullPath(endpoint.Host))}`",
        "ENOENT" when endpoint.IsUnix =>
            $"create the directory first: `mkdir -p {Path.GetDirectoryName(Path.GetFullPath(endpoint.Host))}`",
        _ => null,
    };

    /// <summary>The address in use by a server that answered, found before any bind.</summary>
    public static BindException InUse(string endpoint, string reason, string hint)
    {
        var holder = PortHolder.Of(Endpoint.Parse(endpoint));
        return new BindException(endpoint, "EADDRINUSE", holder is null ? reason : $"{reason}: {holder}", hint, 98);
    }

    private static bool IsPrivileged(Endpoint endpoint, out int first)
    {
        first = 1024;
        if (endpoint.IsUnix || endpoint.Port == 0)
            return false;
        if (File.Exists(PrivilegedPath) && int.TryParse(File.ReadAllText(PrivilegedPath), out var configured))
            first = configured;
        return endpoint.Port < first;
    }

    private static string? LocalAddresses()
    {
        try
        {
            var addresses = NetworkInterface.GetAllNetworkInterfaces()
                .Where(i => i.OperationalStatus is OperationalStatus.Up or OperationalStatus.Unknown)
                .SelectMany(i => i.GetIPProperties().UnicastAddresses).Select(a => a.Address.ToString()).Distinct();
            return "this machine has " + string.Join(", ", addresses);
        }
        catch (NetworkInformationException)
        {
            // The list is a courtesy; the failure itself says enough.
            return null;
        }
    }
}
