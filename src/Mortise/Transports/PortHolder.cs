using System.Globalization;
using System.Net;

namespace Mortise;

/// <summary>
/// Who holds an address: the socket's inode from /proc/net, then the process that has it open (Linux). Sockets of other
/// users' processes cannot be looked into without privilege; then only that there is a holder is known.
/// </summary>
/// <example><code>if (PortHolder.Of(":7007") is { ProcessId: { } id }) Process.GetProcessById(id);</code></example>
public sealed class PortHolder
{
    private const string Listening = "0A";
    private readonly string _otherwise;

    private PortHolder(int? processId, string? processName, string otherwise = "") =>
        (ProcessId, ProcessName, _otherwise) = (processId, processName, otherwise);

    /// <summary>Null where it is another user's, which only root can name, or has just gone.</summary>
    public int? ProcessId { get; }

    /// <summary>What the kernel calls it (comm, see proc_pid_comm(5)); null together with the id.</summary>
    public string? ProcessName { get; }

    /// <summary>For people: <c>held by pid 4242 (dotnet)</c>.</summary>
    public override string ToString() => ProcessId is { } id ? $"held by pid {id} ({ProcessName})" : _otherwise;

    /// <summary>Who holds the endpoint's address, or null where nobody does or the system does not tell.</summary>
    public static PortHolder? Of(Endpoint endpoint)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        try
        {
            var inodes = endpoint.IsUnix ? UnixInodes(endpoint.Host)
                : endpoint.Kind == EndpointKind.Udp ? InetInodes("udp", endpoint, null)
                : InetInodes("tcp", endpoint, Listening);
            return inodes.Count == 0 ? null : Find(inodes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A container may hide /proc; the failure is told all the same, only without a name.
            return null;
        }
    }

    private static PortHolder Find(HashSet<string> inodes)
    {
        var hidden = false;
        foreach (var process in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(process), NumberStyles.None, CultureInfo.InvariantCulture, out var pid))
                continue;
            try
            {
                if (Directory.EnumerateFileSystemEntries(process + "/fd").Any(fd => Holds(fd, inodes)))
                    return new(pid, File.ReadAllText(process + "/comm").Trim());
            }
            catch (UnauthorizedAccessException)
            {
                hidden = true;
            }
            catch (IOException)
            {
                // The process ended while we looked.
            }
        }

        return new(null, null,
            hidden ? "held by a process of another user, which only root can name" : "its holder has just gone");
    }

    private static bool Holds(string descriptor, HashSet<string> inodes) =>
        new FileInfo(descriptor).LinkTarget is { } target && target.StartsWith("socket:[", StringComparison.Ordinal)
        && inodes.Contains(target[8..^1]);

    /// <summary>
    /// Sockets of the port in either family that are in the way of this address: its own and the wildcards, which hold
    /// the port for every address. Another address's socket with the same port is in nobody's way.
    /// </summary>
    private static HashSet<string> InetInodes(string protocol, Endpoint endpoint, string? state)
    {
        var inodes = new HashSet<string>();
        var suffix = ":" + endpoint.Port.ToString("X4", CultureInfo.InvariantCulture);
        var address = endpoint.IsWildcard || endpoint.Address is not { } one ? "" : Hex(one);
        foreach (var table in (string[])[protocol, protocol + "6"])
        {
            // sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …
            foreach (var row in Rows("/proc/net/" + table))
                if (row.Length > 9 && row[1].EndsWith(suffix, StringComparison.Ordinal)
                    && (state is null || row[3] == state) && IsInTheWay(row[1][..^suffix.Length], address))
                    inodes.Add(row[9]);
        }

        return inodes;
    }

    /// <summary>An IPv4 address also ends the IPv6 one that maps it; a wildcard is all zeros.</summary>
    private static bool IsInTheWay(string held, string address) =>
        held.EndsWith(address, StringComparison.Ordinal) || held.AsSpan().TrimStart('0').IsEmpty;

    /// <summary>As /proc/net has it: 32 bits at a time, in the machine's byte order.</summary>
    private static string Hex(IPAddress address) => string.Concat(address.GetAddressBytes().Chunk(4)
        .Select(word => BitConverter.ToUInt32(word).ToString("X8", CultureInfo.InvariantCulture)));

    // Num RefCount Protocol Flags Type St Inode Path; an abstract name begins with @ there too.
    private static HashSet<string> UnixInodes(string name) =>
        [.. Rows("/proc/net/unix").Where(r => r.Length > 7 && r[7] == name).Select(r => r[6])];

    private static IEnumerable<string[]> Rows(string table) => File.Exists(table)
        ? File.ReadLines(table).Skip(1).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        : [];
}
