using Mortise.Transports.Proxy;

namespace Mortise;

/// <summary>
/// A piece of a version 2 header beside the addresses, e.g. 0x02 (the host name that the client asked for) or 0x05 (an
/// id of the connection); the types are in section 2.2 of the specification.
/// </summary>
/// <param name="Type">What it is; 0xE0 to 0xEF are for applications.</param>
/// <param name="Value">0 to 65,535 bytes.</param>
public readonly record struct ProxyTlv(byte Type, ReadOnlyMemory<byte> Value);

/// <summary>
/// What a proxy tells before the first byte of a connection: whom it speaks for (the PROXY protocol, versions 1 and 2,
/// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt). A server reads it with
/// <see cref="ServerOptions.ProxyProtocol"/>; a client sends it with <see cref="ClientOptions.ProxyHeader"/>.
/// </summary>
/// <example><code>
/// await using var c = await SocketClient.ConnectAsync(":7007",
///     o => o.ProxyHeader = ProxyHeader.V2("203.0.113.9:51000", "198.51.100.1:443"));
/// </code></example>
public sealed class ProxyHeader
{
    internal ProxyHeader(int version, bool isLocal)
    {
        Version = version;
        IsLocal = isLocal;
    }

    /// <summary>1 (text) or 2 (binary).</summary>
    public int Version { get; }

    /// <summary>
    /// LOCAL: the proxy speaks for itself, which is how it checks that the server is well. The connection keeps its
    /// real addresses.
    /// </summary>
    public bool IsLocal { get; }

    /// <summary>
    /// Who connected to the proxy; null where it is not told (LOCAL, UNKNOWN, UNSPEC): then the real addresses hold.
    /// </summary>
    public Endpoint? Source { get; internal init; }

    /// <summary>Where on the proxy it connected to; null where it is not told.</summary>
    public Endpoint? Destination { get; internal init; }

    /// <summary>
    /// What a version 2 header says beside the addresses, without padding; a checksum (type 0x03) has been verified.
    /// Where it tells no addresses, nothing else of it is read either.
    /// </summary>
    public IReadOnlyList<ProxyTlv> Tlvs { get; internal init; } = [];

    /// <summary>The proxy itself, as the kernel knows it; null in a header that was not received.</summary>
    public Endpoint? Via { get; internal set; }

    /// <summary>A version 2 header that tells no addresses: for health checks.</summary>
    public static ProxyHeader Local { get; } = new(2, isLocal: true);

    /// <summary>The written header ends with a checksum of its own (CRC-32C).</summary>
    internal bool HasChecksum { get; private init; }

    /// <summary>A version 1 header, one line of text, for TCP over IPv4 or IPv6.</summary>
    /// <exception cref="InvalidSettingException">They are not two IP addresses of one family.</exception>
    public static ProxyHeader V1(Endpoint source, Endpoint destination)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(destination);
        CheckPair(source, destination, "two TCP addresses, both IPv4 or both IPv6",
            source.Kind is EndpointKind.Tcp or EndpointKind.Tls && source.Address is not null);
        return new(1, isLocal: false) { Source = source, Destination = destination };
    }

    /// <summary>A version 2 header, for TCP, UDP or Unix sockets.</summary>
    /// <param name="source">Who connected to the proxy.</param>
    /// <param name="destination">Where on the proxy.</param>
    /// <param name="checksum">Appends a CRC-32C, which a receiver that knows it must verify.</param>
    /// <param name="tlvs">What else to tell; 2 KiB with the addresses.</param>
    /// <exception cref="InvalidSettingException">They are not two addresses of one family, or it is too
    /// long.</exception>
    public static ProxyHeader V2(Endpoint source, Endpoint destination, bool checksum = false,
        params IEnumerable<ProxyTlv> tlvs)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(destination);
        CheckPair(source, destination, "two addresses of one family: IPv4, IPv6 or Unix",
            source.IsUnix || source.Address is not null);
        var header = new ProxyHeader(2, isLocal: false)
        {
            Source = source,
            Destination = destination,
            HasChecksum = checksum,
            Tlvs = [.. tlvs],
        };
        if (ProxyBinary.BodyBytes(header) > ProxyBinary.BodyBytesMax)
            throw new InvalidSettingException("proxy", source.ToString(),
                $"the header is longer than {ProxyBinary.BodyBytesMax} bytes", "leave some of the TLVs out");
        return header;
    }

    /// <summary>The header as it goes out.</summary>
    internal byte[] ToBytes() => Version == 1 ? ProxyText.Write(this) : ProxyBinary.Write(this);

    private static void CheckPair(Endpoint source, Endpoint destination, string what, bool fits)
    {
        if (!fits || source.Kind != destination.Kind
            || source.Address?.AddressFamily != destination.Address?.AddressFamily)
            throw new InvalidSettingException("proxy", $"{source} to {destination}",
                $"a PROXY header of this version tells {what}",
                "write addresses, not names, and where they differ tell ProxyHeader.Local");
    }
}
