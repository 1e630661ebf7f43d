using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using Mortise.Addresses;

namespace Mortise;

/// <summary>What carries the bytes to an <see cref="Endpoint"/>.</summary>
public enum EndpointKind
{
    /// <summary>A TCP stream: <c>tcp://host:port</c>.</summary>
    Tcp,
    /// <summary>TLS over TCP: <c>tls://host:port</c>.</summary>
    Tls,
    /// <summary>UDP datagrams: <c>udp://host:port</c>.</summary>
    Udp,
    /// <summary>A Unix stream socket: <c>unix:/path</c> or <c>unix:@abstract</c>.</summary>
    Unix,
    /// <summary>Unix datagrams: <c>unixgram:/path</c>.</summary>
    UnixDatagram,
    /// <summary>Unix sequenced packets: <c>unixseq:/path</c>.</summary>
    UnixSeqPacket,
    /// <summary>A stream inside this process: <c>mem:name</c>.</summary>
    Memory,
}

/// <summary>
/// Where a server listens or a client connects; one immutable type for every socket family, so nobody casts a
/// <c>sockaddr_in</c> to a <c>sockaddr</c>. Two endpoints are equal when their canonical texts are.
/// </summary>
/// <example><code>
/// Endpoint a = "tcp://127.0.0.1:9003";   // also tls:// and udp://; "host:9003" alone is TCP
/// Endpoint b = ":9003";                  // loopback; "*:9003" is every address of both families
/// Endpoint c = "unix:/run/x.sock";       // also unix:@abstract, unixgram:, unixseq:
/// </code></example>
public sealed class Endpoint : IEquatable<Endpoint>
{
    // Small, because every connection has one: an IPv4 address has no text and no object before somebody asks.
    private readonly byte _kind;
    private readonly bool _isV4;
    private readonly ushort _port;
    private readonly uint _v4;
    private string? _host;

    internal Endpoint(EndpointKind kind, string host, int port)
    {
        (_kind, _host, _port) = ((byte)kind, host, (ushort)port);
        Span<byte> bytes = stackalloc byte[4];
        _isV4 = HasPort && AddressText.TryParse(AddressFamily.InterNetwork, host, bytes) == ParseOutcome.Ok;
        if (_isV4)
            _v4 = BinaryPrimitives.ReadUInt32BigEndian(bytes);
    }

    /// <summary>An IPv4 address in network order.</summary>
    internal Endpoint(EndpointKind kind, ReadOnlySpan<byte> v4, int port)
    {
        (_kind, _isV4, _port) = ((byte)kind, true, (ushort)port);
        _v4 = BinaryPrimitives.ReadUInt32BigEndian(v4);
    }

    /// <summary>What carries the bytes.</summary>
    public EndpointKind Kind => (EndpointKind)_kind;

    /// <summary>
    /// Host name in lower case, address text without brackets, <c>*</c>, socket path, <c>@name</c> or memory name.
    /// Empty only for a Unix peer that never bound a name (see <see cref="From"/>).
    /// </summary>
    public string Host => _host ??= AddressText.Write(V4);

    /// <summary>The port in host order, 0 to 65535; 0: the kernel picks, or the kind has none.</summary>
    public int Port => _port;

    /// <summary>The address if the host is one (<c>*</c> is <c>::</c>); null for names, paths and memory.</summary>
    public IPAddress? Address =>
        _isV4 ? V4 : IsDualStack ? IPAddress.IPv6Any : HasPort ? AddressText.Read(Host) : null;

    /// <summary>Whom limits count: the address, or the /64 that one IPv6 customer has.</summary>
    internal IPAddress? Customer
    {
        get
        {
            if (Address is not { AddressFamily: AddressFamily.InterNetworkV6 } address)
                return Address;
            Span<byte> bytes = stackalloc byte[16];
            address.TryWriteBytes(bytes, out _);
            bytes[8..].Clear();
            return new IPAddress(bytes);
        }
    }

    /// <summary>True for <c>*</c>: one IPv6 socket that takes IPv4 as well.</summary>
    public bool IsDualStack => HasPort && Host == "*";

    /// <summary>True for every local address: <c>*</c>, <c>0.0.0.0</c> (INADDR_ANY) or <c>::</c>.</summary>
    public bool IsWildcard => HasPort && Host is "*" or "0.0.0.0" or "::";

    /// <summary>True where bytes flow without boundaries: TCP, TLS, Unix stream and memory.</summary>
    public bool IsStream =>
        Kind is EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Unix or EndpointKind.Memory;

    /// <summary>Whole messages that may be lost: UDP and Unix datagrams.</summary>
    internal bool IsDatagram => Kind is EndpointKind.Udp or EndpointKind.UnixDatagram;

    /// <summary>True for the three kinds of AF_UNIX socket.</summary>
    public bool IsUnix => Kind is EndpointKind.Unix or EndpointKind.UnixDatagram or EndpointKind.UnixSeqPacket;

    /// <summary>True for a Unix name that is no file (<c>unix:@name</c>, Linux only); see unix(7).</summary>
    public bool IsAbstract => IsUnix && Host.StartsWith('@');

    /// <summary>What follows the scheme: <c>127.0.0.1:80</c>, <c>[::1]:80</c>, a path or a name. For logs.</summary>
    public string Authority => HasPort ? Host.Contains(':') ? $"[{Host}]:{Port}" : $"{Host}:{Port}" : Host;

    private bool HasPort => Kind is EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Udp;

    /// <summary>Reads an endpoint; no name is looked up (except of an interface after an IPv6 %).</summary>
    /// <exception cref="InvalidSettingException">It is not an endpoint; the message says how to mend it.</exception>
    public static Endpoint Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return EndpointParser.TryRead(text, out var endpoint, out var refusal)
            ? endpoint
            : throw refusal.ToException(text);
    }

    /// <summary>Reads an endpoint without throwing; <paramref name="error"/> is what Parse would say.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out Endpoint? endpoint,
        [NotNullWhen(false)] out string? error)
    {
        var read = EndpointParser.TryRead(text ?? "", out endpoint, out var refusal);
        error = read ? null : refusal.ToException(text ?? "").Message;
        return read;
    }

    /// <summary>The same as <see cref="Parse"/>, so that a literal can be passed.</summary>
    public static implicit operator Endpoint(string text) => Parse(text);

    /// <summary>
    /// An endpoint for what a socket reports. An IPv4 peer of a dual-stack socket is shown as IPv4. Never throws for
    /// an address of a foreign family; null and unnamed Unix peers give an empty <see cref="Host"/>.
    /// </summary>
    public static Endpoint From(EndpointKind kind, EndPoint? address) => address switch
    {
        IPEndPoint ip => OfSocket(kind, ip),
        DnsEndPoint name => new(kind, name.Host.ToLowerInvariant(), name.Port),
        _ => new(kind, address?.ToString() ?? "", 0),
    };

    /// <summary>The same place with another port, e.g. the one that the kernel picked for port 0.</summary>
    /// <exception cref="InvalidSettingException">The port is outside 0 to 65535, or this kind has none.</exception>
    public Endpoint WithPort(int port)
    {
        if (!HasPort)
            throw new InvalidSettingException("address", ToString(), "this kind of endpoint has no port");
        return port is >= 0 and <= 65535
            ? new Endpoint(Kind, Host, port)
            : throw new InvalidSettingException("address", ToString(), $"port {port} is outside 0 to 65535");
    }

    /// <summary>The same kind and port at another host, address (IPv6 without brackets), path or name.</summary>
    /// <exception cref="InvalidSettingException">The text is none of these.</exception>
    public Endpoint WithHost(string host)
    {
        ArgumentNullException.ThrowIfNull(host);
        return HasPort && host.Contains(':')
            ? Parse($"{Scheme}[{host}]:{Port}")
            : Parse(HasPort ? $"{Scheme}{host}:{Port}" : Scheme + host);
    }

    /// <summary>The same kind and port at an address, e.g. one of those that the name resolved to.</summary>
    public Endpoint WithAddress(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        return From(Kind, new IPEndPoint(address, Port));
    }

    /// <summary>The same place where it is spoken to in TLS.</summary>
    internal Endpoint As(EndpointKind kind) => kind == EndpointKind.Tls && Address is { } address
        ? From(kind, new IPEndPoint(address, Port)) : this;

    /// <summary>What a socket is bound or connected to; null for names (resolve them first) and memory.</summary>
    public EndPoint? ToSocketEndPoint()
    {
        if (IsUnix)
            return Host.Length == 0 ? null : new UnixDomainSocketEndPoint(IsAbstract ? "\0" + Host[1..] : Host);
        return Address is { } address ? new IPEndPoint(address, Port) : null;
    }

    /// <inheritdoc/>
    public bool Equals(Endpoint? other) =>
        other is not null && other.Kind == Kind && other.Port == Port && other._isV4 == _isV4
        && (_isV4 ? other._v4 == _v4 : other.Host == Host);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Endpoint);

    /// <inheritdoc/>
    public override int GetHashCode() =>
        _isV4 ? HashCode.Combine(_kind, _v4, _port) : HashCode.Combine(_kind, Host, _port);

    /// <summary>The canonical text; <see cref="Parse"/> reads it back to an equal endpoint.</summary>
    public override string ToString() => Scheme + Authority;

    private string Scheme => EndpointParser.SchemeOf(Kind);

    private IPAddress V4
    {
        get
        {
            Span<byte> bytes = stackalloc byte[4];
            BinaryPrimitives.WriteUInt32BigEndian(bytes, _v4);
            return new IPAddress(bytes);
        }
    }

    private static Endpoint OfSocket(EndpointKind kind, IPEndPoint ip)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (!ip.Address.TryWriteBytes(bytes, out var written))
            written = 0;
        return written == 4 ? new(kind, bytes[..4], ip.Port)
            : ip.Address.IsIPv4MappedToIPv6 ? new(kind, bytes[12..], ip.Port)
            : new(kind, AddressText.Write(ip.Address), ip.Port);
    }
}
