using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Transports.Datagrams;

/// <summary>
/// Socket addresses as Linux writes them, to endpoints and back. Those seen lately are remembered, so that a datagram
/// of a known peer makes no new objects.
/// </summary>
internal sealed class SocketNames
{
    private const int RememberedMax = 1024;
    private const int Unix = 1, Inet = 2, Inet6 = 10;   // AF_ numbers of Linux

    private static readonly IPEndPoint AnyV4 = new(IPAddress.Any, 0), AnyV6 = new(IPAddress.IPv6Any, 0);
    private static readonly UnixDomainSocketEndPoint AnyUnix = new("any");

    private readonly Dictionary<byte[], Endpoint> _known;
    private readonly Dictionary<byte[], Endpoint>.AlternateLookup<ReadOnlySpan<byte>> _lookup;

    public SocketNames() => _lookup = (_known = new(new ByContent())).GetAlternateLookup<ReadOnlySpan<byte>>();

    /// <summary>The endpoint of a name; an empty one is that of nobody, or of a Unix socket that bound none.</summary>
    public Endpoint Read(EndpointKind kind, ReadOnlySpan<byte> name)
    {
        if (_lookup.TryGetValue(name, out var endpoint))
            return endpoint;
        if (_known.Count == RememberedMax)
            _known.Clear(); // senders without end, or forged ones, must not cost memory without end
        return _lookup[name] = Endpoint.From(kind, name.Length <= sizeof(short) ? null : FamilyOf(name) switch
        {
            Inet => AnyV4.Create(Address(name)),
            Inet6 => AnyV6.Create(Address(name)),
            _ => AnyUnix.Create(Address(name)),
        });
    }

    /// <summary>The endpoint of an address alone, of 4 or 16 bytes.</summary>
    public Endpoint Read(EndpointKind kind, ReadOnlySpan<byte> address, int port)
    {
        Span<byte> name = stackalloc byte[28];   // sockaddr_in or sockaddr_in6
        name.Clear();
        var isV4 = address.Length == 4;
        BinaryPrimitives.WriteInt16LittleEndian(name, (short)(isV4 ? Inet : Inet6));
        BinaryPrimitives.WriteUInt16BigEndian(name[2..], (ushort)port);
        address.CopyTo(name[(isV4 ? 4 : 8)..]);
        return Read(kind, isV4 ? name[..16] : name);
    }

    /// <summary>Writes an endpoint's name for a socket of this family; its length, 0 where it has none.</summary>
    public static int Write(Endpoint endpoint, AddressFamily family, Span<byte> name)
    {
        var address = endpoint.ToSocketEndPoint();
        if (address is IPEndPoint v4 && (v4.AddressFamily, family) is (AddressFamily.InterNetwork,
            AddressFamily.InterNetworkV6))
            address = new IPEndPoint(v4.Address.MapToIPv6(), v4.Port);
        if (address?.AddressFamily != family)
            return 0;
        var written = address.Serialize();
        written.Buffer.Span[..written.Size].CopyTo(name);
        return written.Size;
    }

    /// <summary>True for a name that a socket of this family can send to.</summary>
    public static bool Suits(ReadOnlySpan<byte> name, AddressFamily family) => FamilyOf(name) == family switch
    {
        AddressFamily.InterNetwork => Inet,
        AddressFamily.InterNetworkV6 => Inet6,
        _ => Unix,
    };

    private static int FamilyOf(ReadOnlySpan<byte> name) =>
        name.IsEmpty ? 0 : BinaryPrimitives.ReadInt16LittleEndian(name);

    private static SocketAddress Address(ReadOnlySpan<byte> name)
    {
        var address = new SocketAddress(AddressFamily.Unspecified, name.Length);
        name.CopyTo(address.Buffer.Span);
        return address;
    }
}
