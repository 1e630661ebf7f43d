using System.Globalization;

namespace Mortise.Cli.Lookup;

/// <summary>How a <see cref="Finding"/> is to be taken.</summary>
internal enum Verdict
{
    /// <summary>Nothing to do.</summary>
    Ok,
    /// <summary>Worth knowing; fine for most.</summary>
    Note,
    /// <summary>It will hurt a server under load.</summary>
    Warn,
}

/// <summary>One thing that was looked at: its value, what that means, and what would change it.</summary>
internal sealed record Finding(string Name, string Value, Verdict Verdict, string Meaning, string? Change = null);

/// <summary>Reads the limits of this process and kernel from /proc; what cannot be read is left out.</summary>
internal static class KernelFacts
{
    public static IEnumerable<Finding> All() => new Func<Finding?>[]
    {
        Descriptors, ConnectionCap, AcceptQueue, SynQueue, Ports, UnprivilegedPorts, TimeWait, SynRetries, Memory,
        Namespaces,
    }.Select(look => look()).OfType<Finding>();

    public static string? Sysctl(string name)
    {
        try
        {
            return File.ReadAllText("/proc/sys/" + name.Replace('.', '/')).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null; // not this kernel, or hidden by the container: there is nothing to judge
        }
    }

    private static int? Number(string name) =>
        int.TryParse(Sysctl(name), CultureInfo.InvariantCulture, out var number) ? number : null;

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    /// <summary>A limit of this process, see getrlimit(2); <see cref="long.MaxValue"/> is none.</summary>
    public static (long Soft, long Hard)? Limit(string title)
    {
        if (!File.Exists("/proc/self/limits"))
            return null;
        static long Amount(string text) =>
            text == "unlimited" ? long.MaxValue : long.Parse(text, CultureInfo.InvariantCulture);
        var line = File.ReadLines("/proc/self/limits")
            .FirstOrDefault(l => l.StartsWith(title, StringComparison.Ordinal));
        return line?[title.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) is [var soft, var hard, ..]
            ? (Amount(soft), Amount(hard))
            : null;
    }

    private static (long Soft, long Hard)? OpenFiles() => Limit("Max open files");

    private static Finding? Descriptors() => OpenFiles() is not var (soft, hard) ? null : new("open files",
        Text($"{soft:N0} (hard limit {hard:N0})"), soft < 4096 ? Verdict.Warn : Verdict.Ok,
        "RLIMIT_NOFILE: every connection is one descriptor", soft < 65536
            ? "LimitNOFILE=65536 in the systemd unit, or ulimit -n up to the hard limit"
            : null);

    /// <summary>The same arithmetic as the library's descriptor budget.</summary>
    private static Finding? ConnectionCap()
    {
        if (OpenFiles() is not var (soft, _))
            return null;
        var reserve = Math.Max(64, soft / 50);
        var cap = soft - Directory.GetFileSystemEntries("/proc/self/fd").Length - reserve;
        return new("connections", Text($"{Math.Min(cap, 10_000):N0}"), cap < 10_000 ? Verdict.Note : Verdict.Ok,
            Text($"the default is 10,000; the descriptors allow {cap:N0}, {reserve:N0} kept in reserve"),
            cap < 10_000 ? "raise the limit of open files" : "more: mortise serve --max-connections N");
    }

    private static Finding? AcceptQueue() => Number("net.core.somaxconn") is not { } max ? null : new("accept queue",
        Text($"{max:N0}"), max < 512 ? Verdict.Warn : Verdict.Ok, max < 512
            ? "net.core.somaxconn clamps our backlog of 512; when it is full, SYNs are dropped"
            : "net.core.somaxconn: the most that --backlog gets",
        max < 512 ? "sysctl -w net.core.somaxconn=4096" : null);

    private static Finding? SynQueue()
    {
        if (Number("net.ipv4.tcp_max_syn_backlog") is not { } max)
            return null;
        var full = Sysctl("net.ipv4.tcp_syncookies") == "0" ? "SYN cookies are off" : "SYN cookies when it is full";
        return new("SYN queue", Text($"{max:N0}"), max < 256 ? Verdict.Note : Verdict.Ok,
            "net.ipv4.tcp_max_syn_backlog: handshakes under way; " + full,
            max < 256 ? "sysctl -w net.ipv4.tcp_max_syn_backlog=1024" : null);
    }

    private static Finding? Ports()
    {
        if (Sysctl("net.ipv4.ip_local_port_range")?.Split('\t', ' ') is not [var low, .., var high])
            return null;
        var count = int.Parse(high, CultureInfo.InvariantCulture) - int.Parse(low, CultureInfo.InvariantCulture) + 1;
        return new("client ports", $"{low}–{high}", count < 10_000 ? Verdict.Warn : Verdict.Ok,
            Text($"at most {count:N0} connections from here to one server address"),
            count < 10_000 ? "sysctl -w net.ipv4.ip_local_port_range='1024 65535'" : null);
    }

    private static Finding? UnprivilegedPorts() => Number("net.ipv4.ip_unprivileged_port_start") is not { } start
        ? null
        : new("low ports", start == 0 ? "free for all" : Text($"below {start} need privilege"),
            start == 0 || Environment.IsPrivilegedProcess ? Verdict.Ok : Verdict.Note,
            "net.ipv4.ip_unprivileged_port_start"
                + (Environment.IsPrivilegedProcess ? "; this user is privileged" : ""),
            start == 0 || Environment.IsPrivilegedProcess
                ? null
                : "setcap cap_net_bind_service=+ep FILE, or lower the sysctl");

    private static Finding? TimeWait()
    {
        if (!File.Exists("/proc/net/sockstat"))
            return null;
        var words = File.ReadLines("/proc/net/sockstat")
            .FirstOrDefault(l => l.StartsWith("TCP:", StringComparison.Ordinal))?.Split(' ') ?? [];
        var at = Array.IndexOf(words, "tw");
        if (at < 0 || at + 1 >= words.Length || !int.TryParse(words[at + 1], out var waiting))
            return null;
        return new("TIME-WAIT", Text($"{waiting:N0}"), waiting > 10_000 ? Verdict.Note : Verdict.Ok,
            "connections that this side closed first, kept 60 s; they do not block a restart",
            waiting > 10_000 ? "let the client close first, or keep connections open" : null);
    }

    private static Finding? SynRetries()
    {
        if (Number("net.ipv4.tcp_syn_retries") is not { } retries)
            return null;
        var seconds = SynSeconds(retries, Number("net.ipv4.tcp_syn_linear_timeouts") ?? 0);
        return new("SYN retries", Text($"{retries}"), Verdict.Ok,
            Text($"a silent host fails after about {seconds} s; mortise gives up after 10 s (--timeout)"));
    }

    /// <summary>
    /// 1 s before the first retry, then twice as long each time (RFC 6298); since Linux 6.5 some retries of 1 s come
    /// before those. See ip-sysctl: 6 retries and 4 linear ones make 131 s.
    /// </summary>
    private static int SynSeconds(int retries, int linear) => linear + (1 << (Math.Min(retries, 20) + 1)) - 1;

    private static Finding Memory()
    {
        var bytes = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return new("memory", Text($"{bytes / (1024.0 * 1024 * 1024):0.0} GiB"),
            bytes < 256L * 1024 * 1024 ? Verdict.Warn : Verdict.Ok,
            "what this process may use, a container's limit included");
    }

    private static Finding? Namespaces() => !OperatingSystem.IsLinux() ? null
        : Number("user.max_user_namespaces") is 0 || Number("kernel.unprivileged_userns_clone") is 0
            ? new("namespaces", "forbidden", Verdict.Note, "demonstrations in a private network are not possible",
                "sysctl -w user.max_user_namespaces=15000")
            : new("namespaces", "allowed", Verdict.Ok, "`unshare -rn` gives a private network without root");
}
