using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace Mortise.Addresses;

/// <summary>Why a text is not an address, and how to mend it.</summary>
internal readonly record struct Refusal(string Reason, string? Hint = null)
{
    private const int ShownCharsMax = 160;

    /// <summary>What the message repeats of the text is cut and has no control characters: it may come from
    /// anywhere.</summary>
    public InvalidSettingException ToException(string text, string what = "address") =>
        new(what, Clean(text), Reason, Hint is null ? null : Clean(Hint));

    internal static string Show(string text) => $"'{Clean(text)}'";

    private static string Clean(string text)
    {
        var shown = new StringBuilder();
        foreach (var c in text.AsSpan(0, Math.Min(text.Length, ShownCharsMax)))
        {
            if (char.IsControl(c) || char.GetUnicodeCategory(c) is UnicodeCategory.Format or UnicodeCategory.Surrogate)
                shown.Append(CultureInfo.InvariantCulture, $"\\u{{{(int)c:x}}}");
            else
                shown.Append(c);
        }
        return shown.Append(text.Length > ShownCharsMax ? "…" : "").ToString();
    }
}

/// <summary>The grammar of endpoints. It refuses what is not sure: a guessed address is worse than none.</summary>
internal static class EndpointParser
{
    /// <summary>sun_path is 108 bytes and a path in it ends with NUL; see unix(7).</summary>
    private const int UnixPathBytesMax = 107;

    private static readonly string[] Schemes =
        ["tcp://", "tls://", "udp://", "unix:", "unixgram:", "unixseq:", "mem:"];
    private static readonly SearchValues<char> AfterAuthority = SearchValues.Create("/?#\\");

    public static string SchemeOf(EndpointKind kind) => Schemes[(int)kind];

    public static bool TryRead(string text, [NotNullWhen(true)] out Endpoint? endpoint, out Refusal refusal)
    {
        endpoint = null;
        refusal = default;
        for (var kind = EndpointKind.Tcp; kind <= EndpointKind.Memory; kind++)
        {
            var scheme = SchemeOf(kind);
            if (!text.StartsWith(scheme, StringComparison.OrdinalIgnoreCase))
                continue;
            var rest = text[scheme.Length..];
            return kind switch
            {
                EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Udp =>
                    TryReadAuthority(kind, rest, bare: false, out endpoint, out refusal),
                EndpointKind.Memory => TryReadMemory(rest, out endpoint, out refusal),
                _ => TryReadUnix(kind, rest, out endpoint, out refusal),
            };
        }
        return !RefuseOtherScheme(text, out refusal)
            && TryReadAuthority(EndpointKind.Tcp, text, bare: true, out endpoint, out refusal);
    }

    /// <summary>Half-typed and foreign URLs, each with the nearest text that would be read.</summary>
    private static bool RefuseOtherScheme(string text, out Refusal refusal)
    {
        var end = text.AsSpan().IndexOfAny(':', '/');
        var word = end < 0 ? "" : text[..end].ToLowerInvariant();
        var rest = end < 0 ? "" : text[end..].TrimStart(':', '/');
        refusal = word switch
        {
            "tcp" or "tls" or "udp" when rest.Length > 0 && rest.All(char.IsAsciiDigit) =>
                new("the host is missing", $"did you mean :{rest}?"),
            "tcp" or "tls" or "udp" => new("the scheme is followed by ://", $"did you mean {word}://{rest}?"),
            "unix" or "unixgram" or "unixseq" or "mem" => new("the scheme is followed by a colon",
                $"did you mean {word}:{(word == "mem" ? "" : "/")}{rest}?"),
            "unix-dgram" => new("that scheme is not known", $"did you mean unixgram:{text[end..].TrimStart(':')}?"),
            "http" or "ws" => new("a URL is not an endpoint", $"its endpoint is tcp://{WithDefault(rest, 80)}"),
            "https" or "wss" => new("a URL is not an endpoint", $"its endpoint is tls://{WithDefault(rest, 443)}"),
            _ when text.Contains("://", StringComparison.Ordinal) => new("that scheme is not known",
                "use tcp://, tls://, udp://, unix:, unixgram:, unixseq: or mem:"),
            _ => default,
        };
        return refusal.Reason is not null;
    }

    private static string WithDefault(string rest, int port)
    {
        var end = rest.AsSpan().IndexOfAny(AfterAuthority);
        var authority = end < 0 ? rest : rest[..end];
        var afterBracket = authority[(authority.LastIndexOf(']') + 1)..];
        return afterBracket.Contains(':') ? authority : $"{authority}:{port}";
    }

    private static bool TryReadAuthority(EndpointKind kind, string text, bool bare, out Endpoint? endpoint,
        out Refusal refusal)
    {
        endpoint = null;
        var scheme = bare ? "" : SchemeOf(kind);
        if (!TrySplit(text, scheme, out var host, out var portText, out refusal)
            || !TryReadPort(portText, out var port, out refusal))
            return false;
        if (host.Length == 0 && !bare)
        {
            refusal = new("the host is missing",
                $"write {scheme}127.0.0.1:{port} for this machine only, or {scheme}*:{port} for every address");
            return false;
        }
        if (host.Length == 0)
            host = "127.0.0.1";
        else if (host != "*" && !HostText.TryRead(host, out host, out refusal))
            return false;
        endpoint = new Endpoint(kind, host, port);
        return true;
    }

    private static bool TrySplit(string text, string scheme, out string host, out string port, out Refusal refusal)
    {
        (host, port, refusal) = ("", "", default);
        var extra = text.AsSpan().IndexOfAny(AfterAuthority);
        var colon = text.IndexOf(':');
        if (scheme.Length == 0 && text is ['/', ..] or ['.', '/', ..] or ['.', '.', '/', ..])
            refusal = new("a path alone is not an endpoint", $"did you mean unix:{text}?");
        else if (extra >= 0)
            refusal = new("an endpoint is a host and a port, without a path or query",
                extra == 0 ? null : $"did you mean {scheme}{text[..extra]}?");
        else if (text.Contains('@'))
            refusal = new("an endpoint carries no user or password",
                $"did you mean {scheme}{text[(text.LastIndexOf('@') + 1)..]}, or unix:@name?");
        else if (text.Length == 0)
            refusal = new("the address is empty", "write tcp://127.0.0.1:9003, or :9003 for loopback");
        else if (text[0] == '[')
            return TrySplitBracketed(text, out host, out port, out refusal);
        else if (colon != text.LastIndexOf(':'))
            refusal = new("an IPv6 address stands in brackets", $"for example {scheme}{BracketedV6(text)}");
        else if (colon >= 0)
            (host, port) = (text[..colon], text[(colon + 1)..]);
        else if (text.All(char.IsAsciiDigit))
            refusal = new("a number alone is neither a host nor a port", $"did you mean :{text}?");
        else
            refusal = new("the port is missing", $"did you mean {scheme}{text}:9003?");
        return refusal.Reason is null;
    }

    /// <summary><c>::1:80</c> is an address as a whole too, but who typed it meant a port.</summary>
    private static string BracketedV6(string text)
    {
        var (host, port) = (text[..text.LastIndexOf(':')], text[(text.LastIndexOf(':') + 1)..]);
        return HostText.IsV6(host) && ushort.TryParse(port, NumberStyles.None, null, out _) ? $"[{host}]:{port}"
            : $"[{(HostText.IsV6(text) ? text : "::1")}]:9003";
    }

    private static bool TrySplitBracketed(string text, out string host, out string port, out Refusal refusal)
    {
        (host, port, refusal) = ("", "", default);
        var end = text.IndexOf(']');
        if (end < 0)
            refusal = new("the bracket of the IPv6 address is not closed", "write [::1]:9003");
        else if (end + 1 >= text.Length || text[end + 1] != ':')
            refusal = new("the port is missing", $"write {text[..(end + 1)]}:9003");
        else if (!HostText.IsV6(text[1..end]))
            refusal = HostText.RefuseV6(text[1..end]);
        else
            (host, port) = (text[1..end], text[(end + 2)..]);
        return refusal.Reason is null;
    }

    private static bool TryReadPort(string text, out int port, out Refusal refusal)
    {
        port = 0;
        refusal = default;
        if (text.Length == 0)
            refusal = new("the port is missing", "a port is 0 to 65535; 0 lets the kernel pick");
        else if (!text.All(char.IsAsciiDigit) || (text.Length > 1 && text[0] == '0'))
            refusal = new($"{Refusal.Show(text)} is not a port", "a port is 0 to 65535 in plain decimal digits");
        else if (text.Length > 5 || (port = int.Parse(text, CultureInfo.InvariantCulture)) > 65535)
            refusal = new($"port {Refusal.Show(text)} is outside 0 to 65535");
        return refusal.Reason is null;
    }

    private static bool TryReadUnix(EndpointKind kind, string path, out Endpoint? endpoint, out Refusal refusal)
    {
        endpoint = null;
        refusal = default;
        // unix:///run/x, as other programs write it, is the path /run/x; Linux reads any run of slashes as one.
        if (path.StartsWith("//", StringComparison.Ordinal))
            path = "/" + path.TrimStart('/');
        var what = path.StartsWith('@') ? "name" : "path";
        var bytes = Encoding.UTF8.GetByteCount(path) - (what == "name" ? 1 : 0);
        if (bytes == 0)
            refusal = new($"the {what} is missing", $"write {SchemeOf(kind)}/run/x.sock, or {SchemeOf(kind)}@name");
        else if (path.Contains('\0'))
            refusal = new($"the {what} has a NUL character in it", "an abstract name is written @name");
        else if (bytes > UnixPathBytesMax)
            refusal = new($"{what} is {bytes} bytes, limit 108 (107+NUL)",
                "use a shorter directory, e.g. /run or /tmp");
        else
            endpoint = new Endpoint(kind, path, 0);
        return endpoint is not null;
    }

    private static bool TryReadMemory(string name, out Endpoint? endpoint, out Refusal refusal)
    {
        refusal = default;
        endpoint = null;
        if (name.Length == 0 || name.Any(c => char.IsControl(c) || char.IsWhiteSpace(c) || c is '/' or ':'))
            refusal = new("a memory name is a word without blanks, slashes or colons", "write mem:name");
        else
            endpoint = new Endpoint(EndpointKind.Memory, name, 0);
        return endpoint is not null;
    }
}
