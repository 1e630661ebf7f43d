using System.Globalization;
using System.Net.Sockets;

namespace Mortise.Cli.Lookup;

/// <summary>Which combinations of socket(2)'s three numbers this kernel has, found out by asking it.</summary>
internal static class SocketMatrix
{
    private static readonly Dictionary<string, AddressFamily> Families = new(StringComparer.OrdinalIgnoreCase)
    {
        ["inet"] = AddressFamily.InterNetwork,
        ["inet6"] = AddressFamily.InterNetworkV6,
        ["unix"] = AddressFamily.Unix,
        ["packet"] = AddressFamily.Packet,
        ["can"] = AddressFamily.ControllerAreaNetwork,
    };

    private static readonly Dictionary<string, SocketType> Types = new(StringComparer.OrdinalIgnoreCase)
    {
        ["stream"] = SocketType.Stream,
        ["dgram"] = SocketType.Dgram,
        ["raw"] = SocketType.Raw,
        ["rdm"] = SocketType.Rdm,
        ["seqpacket"] = SocketType.Seqpacket,
    };

    private static readonly Dictionary<string, int> Protocols = new(StringComparer.OrdinalIgnoreCase)
    {
        ["default"] = 0,
        ["icmp"] = 1,
        ["tcp"] = 6,
        ["udp"] = 17,
        ["sctp"] = 132,
    };

    /// <summary>What people ask for; the first three are what Mortise itself needs.</summary>
    private static readonly string[] Asked =
    [
        "inet,stream,tcp", "inet,dgram,udp", "unix,stream,default", "inet6,stream,tcp", "inet6,dgram,udp",
        "unix,dgram,default", "unix,seqpacket,default", "inet,stream,sctp", "inet,seqpacket,sctp", "inet,rdm,default",
        "inet,dgram,icmp", "inet,raw,icmp", "packet,raw,default",
    ];

    /// <summary>What a socket of .NET cannot ask the kernel for, with the reason.</summary>
    public static readonly (string Name, string Reason)[] NotAsked =
    [
        ("route", "AF_ROUTE is BSD's; Linux has AF_NETLINK instead, which .NET does not open"),
        ("tipc", File.Exists("/proc/sys/net/tipc/tipc_rmem")
            ? "the kernel has it, but .NET does not open AF_TIPC"
            : "the kernel module tipc is not loaded, and .NET does not open AF_TIPC"),
    ];

    /// <summary>
    /// The matrix; an error is the kernel's own word for it, e.g. Protocol not supported (EPROTONOSUPPORT 93).
    /// </summary>
    public static IEnumerable<(string Socket, SocketException? Error)> All() => Asked.Select(text => (text, Try(text)));

    /// <summary>Makes the socket that was asked for, and closes it.</summary>
    /// <exception cref="InvalidSettingException">A word is none of the families, types or protocols.</exception>
    /// <exception cref="UnsupportedException">The kernel refuses the combination.</exception>
    public static void Demand(string text)
    {
        if (Try(text) is { } error)
            throw new UnsupportedException("socket", text, error.Message,
                "Mortise picks type and protocol itself: name an endpoint, tcp:// or udp://", SymbolOf(error),
                ErrorCatalogue.From(error).Errno);
    }

    /// <summary>strerror(3)'s sentence, the symbol and the number.</summary>
    public static string Describe(SocketException error) => string.Create(CultureInfo.InvariantCulture,
        $"{error.Message} ({SymbolOf(error)} {ErrorCatalogue.From(error).Errno})");

    private static string SymbolOf(SocketException error) => ErrorCatalogue.From(error).Symbol;

    private static SocketException? Try(string text)
    {
        if (text.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries) is not [var family, var type, .. var rest]
            || rest.Length > 1)
            throw new InvalidSettingException("socket", text, "socket(2) has three parts: FAMILY,TYPE,PROTOCOL",
                "for example inet,stream,tcp");
        var protocol = rest is [var named] ? named : "default";
        try
        {
            new Socket(Known(Families, family), Known(Types, type), (ProtocolType)ProtocolNumber(protocol)).Dispose();
            return null;
        }
        catch (SocketException e)
        {
            return e;
        }
    }

    private static int ProtocolNumber(string text) =>
        byte.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : Known(Protocols, text);

    private static T Known<T>(Dictionary<string, T> names, string name) => names.TryGetValue(name, out var value)
        ? value
        : throw new InvalidSettingException("socket", name, "there is no such name",
            "known are " + string.Join(", ", names.Keys));
}
