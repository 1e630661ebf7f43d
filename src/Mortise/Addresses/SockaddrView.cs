using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mortise;

/// <summary>One labelled field of a socket address.</summary>
/// <param name="OffsetBytes">Where it begins in the structure.</param>
/// <param name="Bytes">What lies there.</param>
/// <param name="Name">The field's name in C, e.g. <c>sin_port</c>.</param>
/// <param name="Meaning">What the bytes say.</param>
public sealed record SockaddrField(int OffsetBytes, ReadOnlyMemory<byte> Bytes, string Name, string Meaning);

/// <summary>
/// The structure that C programs fill for an endpoint, byte by byte as Linux lays it out: <c>sockaddr_in</c> (16
/// bytes, ip(7)), <c>sockaddr_in6</c> (28 bytes, ipv6(7)) or <c>sockaddr_un</c> (unix(7)). For people who compare.
/// </summary>
/// <param name="Structure">The name in C.</param>
/// <param name="Fields">The fields in order, without gaps.</param>
public sealed record SockaddrView(string Structure, IReadOnlyList<SockaddrField> Fields)
{
    /// <summary>The length that bind and connect are given.</summary>
    public int LengthBytes => Fields[^1].OffsetBytes + Fields[^1].Bytes.Length;

    /// <summary>Lays an endpoint out.</summary>
    /// <exception cref="InvalidSettingException">It is a name to be resolved first, or memory.</exception>
    public static SockaddrView Of(Endpoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        if (endpoint.IsUnix && endpoint.Host.Length > 0)
            return OfUnix(endpoint);
        return endpoint.Address switch
        {
            null => throw new InvalidSettingException("address", endpoint.ToString(),
                "it has no socket address", "a host name has one only after it is resolved"),
            { AddressFamily: AddressFamily.InterNetwork } v4 => OfV4(v4, (ushort)endpoint.Port),
            var v6 => OfV6(v6, (ushort)endpoint.Port),
        };
    }

    private static SockaddrView OfV4(IPAddress address, ushort port)
    {
        var layout = new Layout();
        layout.Add("sin_family", Host16(2), "AF_INET (2), host order");
        layout.Add("sin_port", Net16(port), Text($"port {port}, network order"));
        layout.Add("sin_addr", address.GetAddressBytes(), address + ", network order");
        layout.Add("sin_zero", new byte[8], "padding to the size of sockaddr");
        return new("sockaddr_in", layout.Fields);
    }

    private static SockaddrView OfV6(IPAddress address, ushort port)
    {
        var layout = new Layout();
        layout.Add("sin6_family", Host16(10), "AF_INET6 (10), host order");
        layout.Add("sin6_port", Net16(port), Text($"port {port}, network order"));
        layout.Add("sin6_flowinfo", new byte[4], "flow label 0");
        var bytes = address.GetAddressBytes();
        layout.Add("sin6_addr", bytes, new IPAddress(bytes) + ", network order");
        layout.Add("sin6_scope_id", BitConverter.GetBytes((uint)address.ScopeId), address.ScopeId == 0
            ? "no interface"
            : Text($"interface number {address.ScopeId}, host order"));
        return new("sockaddr_in6", layout.Fields);
    }

    private static SockaddrView OfUnix(Endpoint endpoint)
    {
        var layout = new Layout();
        layout.Add("sun_family", Host16(1), "AF_UNIX (1), host order");
        var text = endpoint.IsAbstract ? "\0" + endpoint.Host[1..] : endpoint.Host + "\0";
        layout.Add("sun_path", Encoding.UTF8.GetBytes(text),
            endpoint.IsAbstract
                ? $"abstract name {endpoint.Host[1..]}: NUL first, its length is the structure's"
                : $"path {endpoint.Host}, ended by NUL; room for 108 bytes");
        return new("sockaddr_un", layout.Fields);
    }

    private static byte[] Host16(ushort value) => BitConverter.GetBytes(value);

    private static byte[] Net16(ushort value)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, value);
        return bytes;
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed class Layout
    {
        public List<SockaddrField> Fields { get; } = [];

        public void Add(string name, byte[] bytes, string meaning) =>
            Fields.Add(new(Fields.Sum(field => field.Bytes.Length), bytes, name, meaning));
    }
}
