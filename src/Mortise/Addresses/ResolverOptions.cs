using System.Net;
using System.Net.Sockets;

namespace Mortise;

/// <summary>Where a <see cref="Resolver"/> looks, and how long.</summary>
public sealed record ResolverOptions
{
    /// <summary>The hosts file, see hosts(5); it need not exist.</summary>
    public string HostsFile { get; init; } = OperatingSystem.IsWindows()
        ? Path.Combine(Environment.SystemDirectory, "drivers", "etc", "hosts")
        : "/etc/hosts";

    /// <summary>The services file, see services(5); it need not exist.</summary>
    public string ServicesFile { get; init; } = OperatingSystem.IsWindows()
        ? Path.Combine(Environment.SystemDirectory, "drivers", "etc", "services")
        : "/etc/services";

    /// <summary>
    /// The servers and search domains, see resolv.conf(5). A port is written as OpenBSD does, <c>[127.0.0.1]:5353</c>.
    /// Without a server in it (or on Windows) the system's own resolver is asked.
    /// </summary>
    public string ResolvConfFile { get; init; } = "/etc/resolv.conf";

    /// <summary>
    /// The one recursive server to ask, without search domains; null asks those of <see cref="ResolvConfFile"/>.
    /// </summary>
    public IPEndPoint? DnsServer { get; init; }

    /// <summary>The longest one question takes, all its tries together. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Into how many tries the time is divided; they go round the servers. Default 2, at least 1.</summary>
    public int Attempts { get; init; } = 2;

    /// <summary>The clock for timeouts and for how long answers are kept.</summary>
    public TimeProvider TimeProvider { get; init; } = TimeProvider.System;
}

/// <summary>What a name stands for; the shape of C's <c>hostent</c>, for both families.</summary>
/// <param name="Name">The official name: the first of a hosts line, or the end of a CNAME chain.</param>
/// <param name="Aliases">The other names on the way, beginning with the one that was asked for.</param>
/// <param name="Addresses">At least one address, in the order to try: IPv6 first, the families in turn (RFC
/// 8305).</param>
/// <param name="TimeToLive">How long the answer may be kept; null where the source does not say.</param>
/// <param name="Source">Who said it: <c>literal</c>, <c>loopback</c>, a file, <c>dns 127.0.0.1:53</c>, …</param>
public sealed record HostEntry(string Name, IReadOnlyList<string> Aliases, IReadOnlyList<IPAddress> Addresses,
    TimeSpan? TimeToLive, string Source)
{
    /// <summary>The family of the first address.</summary>
    public AddressFamily AddressFamily => Addresses[0].AddressFamily;
}

/// <summary>A service and its port; prints as <c>80/tcp</c>.</summary>
/// <param name="Name">The name, e.g. <c>http</c>.</param>
/// <param name="Port">1 to 65535.</param>
/// <param name="Protocol"><c>tcp</c> or <c>udp</c>.</param>
public sealed record ServiceEntry(string Name, int Port, string Protocol)
{
    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Port}/{Protocol}");
}
