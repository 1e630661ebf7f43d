using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Cli.Lookup;

/// <summary>
/// `mortise addr`: an address taken apart, strictly, down to the bytes that C programs hand to the kernel.
/// </summary>
internal static class AddrVerb
{
    public static Command Build()
    {
        var text = new Argument<string>("ADDRESS")
        {
            Description = "an endpoint (tcp://*:9003, [fe80::1%lo]:80, unix:/run/x) or a bare IP address",
        };
        var hex = new Option<bool>("--hex") { Description = "the sockaddr structure, byte by byte" };
        var check = new Option<bool>("--check")
        {
            Description = "only say whether it is an address, as strictly as inet_pton(3); exit 2 if not",
        };
        var legacy = new Option<bool>("--legacy")
        {
            Description = "read it as inet_aton(3) did: 1 is 0.0.0.1, 010.0.0.1 is 8.0.0.1, 0x7f.1 is 127.0.0.1",
        };
        var command = new Command("addr", "Take an address apart: mortise addr 127.0.0.1:10000 --hex")
        {
            text, hex, check, legacy,
        };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            var given = parsed.GetValue(text)!;
            if (parsed.GetValue(check))
                Check(given);
            else if (parsed.GetValue(legacy))
                Legacy(given);
            else
                await DescribeAsync(given, parsed.GetValue(hex), cancellationToken);
            return 0;
        });
        return command;
    }

    private static void Check(string text)
    {
        var v6 = text.Contains(':');
        var family = v6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        Span<byte> bytes = stackalloc byte[16];
        if (AddressText.TryParse(family, text, bytes) != ParseOutcome.Ok)
            throw new InvalidSettingException("address", text, v6 ? "not an IPv6 address" : "not an IPv4 address", v6
                ? "eight groups of up to four hex digits, one run of zeros may be ::"
                : "four numbers from 0 to 255, without leading zeros (see --legacy)");
        Console.WriteLine(v6 ? $"{text} is an IPv6 address" : $"{text} is an IPv4 address");
    }

    /// <summary>
    /// The runtime's own parser still follows inet_aton; nothing else in Mortise lets it near an address.
    /// </summary>
    private static void Legacy(string text)
    {
        if (!IPAddress.TryParse(text, out var address) || address.AddressFamily != AddressFamily.InterNetwork)
            throw new InvalidSettingException("address", text, "inet_aton(3) does not read it either",
                "one to four numbers, each decimal, octal (0…) or hexadecimal (0x…)");
        var strict = AddressText.TryParse(AddressFamily.InterNetwork, text, stackalloc byte[4]) == ParseOutcome.Ok;
        Console.WriteLine(strict ? $"{text}" : $"{text} was read as {address}; inet_pton(3) and Mortise refuse it");
        Console.WriteLine(AddressText.DescribeLegacy(address));
    }

    private static async Task DescribeAsync(string text, bool hex, CancellationToken cancellationToken)
    {
        var bare = BareAddress(text);
        if (bare is null && !text.Contains(':') && IPAddress.TryParse(text, out var legacy))
            throw new InvalidSettingException("address", text, "not an IPv4 address, strictly read",
                $"inet_aton(3) read it as {legacy}; write that, or see --legacy");
        var endpoint = bare ?? Endpoint.Parse(text);
        if (hex)
        {
            Dump(SockaddrView.Of(endpoint));
            return;
        }

        Console.WriteLine(bare is null ? endpoint.ToString() : endpoint.Host);
        foreach (var (name, value) in Parts(endpoint, isBare: bare is not null))
            Console.WriteLine($"  {name,-9}{value}");
        if (bare is not null && text.Contains(':') && !endpoint.Host.Contains(':'))
            Console.WriteLine($"  given as {text}, IPv4 inside IPv6");
        if (endpoint.Address is { AddressFamily: AddressFamily.InterNetwork } v4)
            Console.WriteLine(AddressText.DescribeLegacy(v4));
        if (endpoint.IsWildcard)
            await ReachableAsync(endpoint, isBare: bare is not null, cancellationToken);
    }

    /// <summary>An address without port and brackets, as an endpoint of port 0; null for all else.</summary>
    public static Endpoint? BareAddress(string text)
    {
        var percent = text.IndexOf('%');
        var address = percent < 0 ? text : text[..percent];
        Span<byte> bytes = stackalloc byte[16];
        if (AddressText.TryParse(AddressFamily.InterNetwork, text, bytes) == ParseOutcome.Ok)
            return Endpoint.Parse(text + ":0");
        return AddressText.TryParse(AddressFamily.InterNetworkV6, address, bytes) == ParseOutcome.Ok
            ? Endpoint.Parse($"[{text}]:0")
            : null;
    }

    private static IEnumerable<(string Name, string Value)> Parts(Endpoint endpoint, bool isBare)
    {
        if (!isBare)
            yield return ("kind", KindOf(endpoint));
        if (endpoint.Kind == EndpointKind.Memory)
            yield break;
        if (endpoint.IsUnix)
        {
            yield return ("family", "AF_UNIX");
            yield return endpoint.IsAbstract ? ("name", endpoint.Host[1..] + " (abstract)") : ("path", endpoint.Host);
            yield break;
        }

        if (endpoint.Address is { } address)
        {
            yield return ("family", address.AddressFamily == AddressFamily.InterNetwork ? "AF_INET" : "AF_INET6");
            yield return ("address", endpoint.IsDualStack ? "* (IPv6 and IPv4)" : $"{endpoint.Host} ({Sort(address)})");
            if (address.AddressFamily == AddressFamily.InterNetworkV6)
            {
                yield return ("flowinfo", "0");
                yield return ("scope id", address.ScopeId.ToString(CultureInfo.InvariantCulture));
            }
        }
        else
            yield return ("host", endpoint.Host + " (a name: `mortise resolve` finds its addresses)");
        if (!isBare)
            yield return ("port", endpoint.Port == 0
                ? "0 (the kernel picks)"
                : endpoint.Port.ToString(CultureInfo.InvariantCulture));
    }

    private static string KindOf(Endpoint endpoint) => endpoint.Kind switch
    {
        EndpointKind.Udp or EndpointKind.UnixDatagram => "datagrams (SOCK_DGRAM)",
        EndpointKind.UnixSeqPacket => "sequenced packets (SOCK_SEQPACKET)",
        EndpointKind.Memory => "a stream inside one process",
        EndpointKind.Tls => "a stream (SOCK_STREAM), encrypted",
        _ => "a stream (SOCK_STREAM)",
    };

    private static string Sort(IPAddress address)
    {
        var bytes = address.GetAddressBytes();
        return address switch
        {
            _ when IPAddress.IsLoopback(address) => "loopback: only this machine",
            _ when address.Equals(IPAddress.Any) => "every IPv4 address of this machine",
            _ when address.Equals(IPAddress.IPv6Any) => "every IPv6 address of this machine",
            _ when address.Equals(IPAddress.Broadcast) => "broadcast",
            { IsIPv6LinkLocal: true } => "link-local: needs %interface",
            { IsIPv6Multicast: true } => "multicast",
            { IsIPv6UniqueLocal: true } => "private (RFC 4193)",
            { AddressFamily: AddressFamily.InterNetwork } when bytes[0] is >= 224 and < 240 => "multicast",
            { AddressFamily: AddressFamily.InterNetwork } when bytes[0] == 169 && bytes[1] == 254 => "link-local",
            { AddressFamily: AddressFamily.InterNetwork } when bytes[0] == 10 || bytes[0] == 172 && bytes[1] >> 4 == 1
                || bytes[0] == 192 && bytes[1] == 168 => "private (RFC 1918)",
            _ => "global",
        };
    }

    private static void Dump(SockaddrView view)
    {
        Console.WriteLine($"{view.Structure}, {view.LengthBytes} bytes");
        foreach (var field in view.Fields)
        {
            var left = field.Bytes.Span;
            for (var row = 0; row == 0 || row < left.Length; row += 8)
            {
                var bytes = left[row..Math.Min(left.Length, row + 8)].ToArray();
                var hex = string.Join(' ', bytes.Select(b => b.ToString("X2", CultureInfo.InvariantCulture)));
                var offset = field.OffsetBytes + row;
                Console.WriteLine(row == 0
                    ? $"{offset,4}  {hex,-23}  {field.Name,-13}  {field.Meaning}"
                    : $"{offset,4}  {hex}");
            }
        }
    }

    /// <summary>A wildcard is no address that anybody can dial; these are.</summary>
    private static async Task ReachableAsync(Endpoint wildcard, bool isBare, CancellationToken cancellationToken)
    {
        Console.WriteLine("reachable as");
        foreach (var endpoint in await new Resolver().ReachableAsync(wildcard, cancellationToken))
        {
            var onlyHere = IPAddress.IsLoopback(endpoint.Address!) ? "  (this machine only)" : "";
            Console.WriteLine($"  {(isBare ? endpoint.Host : endpoint.ToString())}{onlyHere}");
        }
    }
}
