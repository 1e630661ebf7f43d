using System.Globalization;
using System.Net;

namespace Mortise.Addresses;

/// <summary>One line of the hosts file: an address, its official name, and others.</summary>
internal readonly record struct HostsLine(IPAddress Address, IReadOnlyList<string> Names);

/// <summary>What resolv.conf(5) says: whom to ask, and what to append to short names.</summary>
internal sealed record ResolvConf(IReadOnlyList<IPEndPoint> Servers, IReadOnlyList<string> Search, int Dots)
{
    public static readonly ResolvConf Empty = new([], [], 1);
}

/// <summary>
/// hosts, services and resolv.conf. They are read at each use, as the C library does, so that an edit holds at once.
/// A line that is not understood is skipped, and a file that cannot be read is empty.
/// </summary>
internal static class SystemFiles
{
    private const long FileBytesMax = 1 << 20;
    private const int ServersMax = 3;

    /// <summary>For systems without a services file: what this project's own documents speak of.</summary>
    private static readonly ServiceEntry[] BuiltIn =
    [
        new("echo", 7, "tcp"), new("echo", 7, "udp"), new("discard", 9, "tcp"), new("discard", 9, "udp"),
        new("ftp", 21, "tcp"), new("ssh", 22, "tcp"), new("telnet", 23, "tcp"), new("smtp", 25, "tcp"),
        new("domain", 53, "tcp"), new("domain", 53, "udp"), new("http", 80, "tcp"), new("pop3", 110, "tcp"),
        new("ntp", 123, "udp"), new("imap2", 143, "tcp"), new("https", 443, "tcp"), new("https", 443, "udp"),
        new("login", 513, "tcp"),
    ];

    public static async Task<IReadOnlyList<HostsLine>> HostsAsync(string path, CancellationToken cancellationToken)
    {
        var lines = new List<HostsLine>();
        foreach (var words in await WordsAsync(path, cancellationToken).ConfigureAwait(false))
        {
            if (words.Length > 1 && AddressText.Read(words[0]) is { } address)
                lines.Add(new(address, [.. words[1..].Select(name => name.ToLowerInvariant())]));
        }
        return lines;
    }

    public static async Task<ResolvConf> ResolvConfAsync(string path, CancellationToken cancellationToken)
    {
        var servers = new List<IPEndPoint>();
        IReadOnlyList<string> search = [];
        var dots = 1;
        foreach (var words in await WordsAsync(path, cancellationToken).ConfigureAwait(false))
        {
            if (words is ["nameserver", var text, ..] && servers.Count < ServersMax && Server(text) is { } server)
                servers.Add(server);
            else if (words is ["search" or "domain", ..])
                search = [.. words[1..].Select(suffix => suffix.Trim('.')).Where(s => HostText.NameFault(s) is null)];
            else if (words is ["options", ..] && words.LastOrDefault(IsDots) is { } option)
                dots = Math.Min(int.Parse(option.AsSpan(6), CultureInfo.InvariantCulture), 15);
        }
        return new(servers, search, dots);

        static bool IsDots(string word) => word.StartsWith("ndots:", StringComparison.Ordinal)
            && word.Length is 7 or 8 && !word.AsSpan(6).ContainsAnyExceptInRange('0', '9');
    }

    private static IPEndPoint? Server(string text)
    {
        var end = text.StartsWith('[') ? text.IndexOf("]:", StringComparison.Ordinal) : -1;
        var port = (ushort)53;
        if (end > 0
            && !ushort.TryParse(text.AsSpan(end + 2), NumberStyles.None, CultureInfo.InvariantCulture, out port))
            return null;
        return AddressText.Read(end > 0 ? text.AsSpan(1, end - 1) : text) is { } address ? new(address, port) : null;
    }

    public static async Task<ServiceEntry?> ServiceAsync(string path, string name, string protocol,
        CancellationToken cancellationToken)
    {
        foreach (var words in await WordsAsync(path, cancellationToken).ConfigureAwait(false))
        {
            if (words.Length < 2 || !(words[0] == name || words[2..].Contains(name)))
                continue;
            var slash = words[1].IndexOf('/');
            if (slash > 0 && words[1][(slash + 1)..] == protocol
                && ushort.TryParse(words[1].AsSpan(0, slash), NumberStyles.None, CultureInfo.InvariantCulture,
                    out var port))
                return new(name, port, protocol);
        }
        return BuiltIn.FirstOrDefault(service => service.Name == name && service.Protocol == protocol);
    }

    private static async Task<IReadOnlyList<string[]>> WordsAsync(string path, CancellationToken cancellationToken)
    {
        try
        {
            if (!File.Exists(path) || new FileInfo(path).Length > FileBytesMax)
                return [];
            var lines = await File.ReadAllLinesAsync(path, cancellationToken).ConfigureAwait(false);
            return [.. lines.Select(Words).Where(words => words.Length > 0)];
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            // The C library goes on without a file it may not read, and DNS may still know the name.
            return [];
        }
    }

    private static string[] Words(string line)
    {
        var comment = line.AsSpan().IndexOfAny('#', ';');
        return (comment < 0 ? line : line[..comment])
            .Split([' ', '\t', '\r'], StringSplitOptions.RemoveEmptyEntries);
    }
}
