using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using System.Text;

namespace Mortise.Transports.Proxy;

/// <summary>Version 2, section 2.2 of the specification: 16 bytes, then addresses, then TLVs.</summary>
internal static class ProxyBinary
{
    /// <summary>What may follow the first 16 bytes: more than any proxy sends, and no weapon.</summary>
    public const int BodyBytesMax = 2048;

    private const int FixedBytes = 16, UnixBytes = 108, TlvFixedBytes = 3, ChecksumBytes = 4;
    private const byte Checksum = 0x03, Padding = 0x04;
    private const int Unspecified = 0, Inet = 1, Inet6 = 2, Unix = 3, Stream = 1, Dgram = 2;

    public static ReadOnlySpan<byte> Signature => "\r\n\r\n\0\r\nQUIT\n"u8;

    /// <summary>Refuses as soon as a byte says that it must; reads when all have come.</summary>
    public static bool TryRead(ReadOnlySpan<byte> start, in ReadOnlySequence<byte> input,
        [NotNullWhen(true)] out ProxyHeader? header, out int length)
    {
        (header, length) = (null, 0);
        if (start.Length > 12 && start[12] is not (0x20 or 0x21))
            throw ProxyReader.Malformed(start[12] >> 4 == 2 ? $"there is no command {start[12] & 15}"
                : $"there is no version {start[12] >> 4} of the binary header");
        var isLocal = start.Length > 12 && start[12] == 0x20;
        if (start.Length > 13 && !isLocal && (start[13] >> 4 > Unix || (start[13] & 15) > Dgram))
            throw ProxyReader.Malformed($"there is no address family and protocol 0x{start[13]:x2}");
        if (start.Length < FixedBytes)
            return false;
        var body = BinaryPrimitives.ReadUInt16BigEndian(start[14..]);
        if (body > BodyBytesMax)
            throw ProxyReader.Malformed($"it announces {body} bytes, and {BodyBytesMax} are the limit");
        if (input.Length < FixedBytes + body)
            return false;
        length = FixedBytes + body;
        var (family, protocol) = (start[13] >> 4, start[13] & 15);
        header = isLocal || family == Unspecified || protocol == Unspecified
            ? new ProxyHeader(2, isLocal)
            : Read(input.Slice(0, length).ToArray(), family, protocol);
        return true;
    }

    public static int BodyBytes(ProxyHeader header) => AddressBytes(FamilyOf(header.Source))
        + header.Tlvs.Sum(t => TlvFixedBytes + t.Value.Length)
        + (header.HasChecksum ? TlvFixedBytes + ChecksumBytes : 0);

    public static byte[] Write(ProxyHeader header)
    {
        var family = FamilyOf(header.Source);
        var body = BodyBytes(header);
        var bytes = new byte[FixedBytes + body];
        Signature.CopyTo(bytes);
        bytes[12] = (byte)(header.IsLocal ? 0x20 : 0x21);
        bytes[13] = (byte)(family << 4 | header.Source?.Kind switch
        {
            null => Unspecified,
            EndpointKind.Udp or EndpointKind.UnixDatagram => Dgram,
            _ => Stream,
        });
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(14), (ushort)body);
        var at = FixedBytes + AddressBytes(family);
        if (header is { Source: { } source, Destination: { } destination })
            WriteAddresses(bytes.AsSpan(FixedBytes..at), source, destination);
        foreach (var (type, value) in header.Tlvs)
        {
            bytes[at] = type;
            BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(at + 1), (ushort)value.Length);
            value.Span.CopyTo(bytes.AsSpan(at + TlvFixedBytes));
            at += TlvFixedBytes + value.Length;
        }

        if (header.HasChecksum)
        {
            (bytes[at], bytes[at + 2]) = (Checksum, ChecksumBytes);
            BinaryPrimitives.WriteUInt32BigEndian(bytes.AsSpan(at + TlvFixedBytes), Crc32C(bytes));
        }

        return bytes;
    }

    private static ProxyHeader Read(byte[] bytes, int family, int protocol)
    {
        var end = FixedBytes + AddressBytes(family);
        if (bytes.Length < end)
            throw ProxyReader.Malformed(
                $"{bytes.Length - FixedBytes} bytes cannot hold the addresses of family 0x{family:x}");
        var addresses = bytes.AsSpan(FixedBytes..end);
        var half = family == Unix ? UnixBytes : (addresses.Length - 4) / 2;
        return new ProxyHeader(2, isLocal: false)
        {
            Source = family == Unix ? ReadPath(addresses[..half], protocol)
                : ReadAddress(addresses[..half], addresses[^4..], protocol),
            Destination = family == Unix ? ReadPath(addresses[half..], protocol)
                : ReadAddress(addresses[half..(2 * half)], addresses[^2..], protocol),
            Tlvs = ReadTlvs(bytes, end),
        };
    }

    private static Endpoint ReadAddress(ReadOnlySpan<byte> address, ReadOnlySpan<byte> port, int protocol) =>
        Endpoint.From(protocol == Dgram ? EndpointKind.Udp : EndpointKind.Tcp,
            new IPEndPoint(new IPAddress(address), BinaryPrimitives.ReadUInt16BigEndian(port)));

    /// <summary>As in sockaddr_un: a path ends at its first NUL, an abstract name begins with one.</summary>
    private static Endpoint ReadPath(ReadOnlySpan<byte> name, int protocol)
    {
        var mark = name[0] == 0 && name.ContainsAnyExcept((byte)0) ? "@" : "";
        name = name[mark.Length..];
        var end = name.IndexOf((byte)0);
        var path = mark + Encoding.UTF8.GetString(end < 0 ? name : name[..end]);
        if (path.Any(char.IsControl))
            throw ProxyReader.Malformed("the name of a Unix socket has control characters in it");
        return new Endpoint(protocol == Dgram ? EndpointKind.UnixDatagram : EndpointKind.Unix, path, 0);
    }

    private static List<ProxyTlv> ReadTlvs(byte[] bytes, int at)
    {
        var tlvs = new List<ProxyTlv>();
        var isChecked = false;
        while (at < bytes.Length)
        {
            var value = at + TlvFixedBytes;
            var next = value > bytes.Length ? value
                : value + BinaryPrimitives.ReadUInt16BigEndian(bytes.AsSpan(at + 1));
            if (next > bytes.Length)
                throw ProxyReader.Malformed("its last TLV goes beyond its end");
            var tlv = new ProxyTlv(bytes[at], bytes.AsMemory(value..next));
            if (tlv.Type == Checksum)
            {
                if (isChecked || tlv.Value.Length != ChecksumBytes)
                    throw ProxyReader.Malformed("its checksum is not one of 4 bytes");
                isChecked = true;
                Verify(bytes, bytes.AsSpan(value, ChecksumBytes));
            }

            if (tlv.Type != Padding)
                tlvs.Add(tlv);
            at = next;
        }

        return tlvs;
    }

    /// <summary>The checksum is that of the whole header with zeros in its own place.</summary>
    private static void Verify(byte[] header, Span<byte> place)
    {
        var told = BinaryPrimitives.ReadUInt32BigEndian(place);
        place.Clear();
        var computed = Crc32C(header);
        BinaryPrimitives.WriteUInt32BigEndian(place, told);
        if (computed != told)
            throw ProxyReader.Malformed($"its checksum is 0x{told:x8}, and that of its bytes 0x{computed:x8}");
    }

    /// <summary>RFC 4960, appendix B.</summary>
    private static uint Crc32C(ReadOnlySpan<byte> bytes)
    {
        var crc = uint.MaxValue;
        foreach (var one in bytes)
            crc = BitOperations.Crc32C(crc, one);
        return ~crc;
    }

    private static int FamilyOf(Endpoint? source) => source is null ? Unspecified : source.IsUnix ? Unix
        : source.Address!.AddressFamily == AddressFamily.InterNetwork ? Inet : Inet6;

    private static int AddressBytes(int family) => family switch
    {
        Inet => 2 * (4 + 2),
        Inet6 => 2 * (16 + 2),
        Unix => 2 * UnixBytes,
        _ => 0,
    };

    private static void WriteAddresses(Span<byte> place, Endpoint source, Endpoint destination)
    {
        if (source.IsUnix)
        {
            WritePath(place[..UnixBytes], source);
            WritePath(place[UnixBytes..], destination);
            return;
        }

        var half = (place.Length - 4) / 2;
        source.Address!.TryWriteBytes(place, out _);
        destination.Address!.TryWriteBytes(place[half..], out _);
        BinaryPrimitives.WriteUInt16BigEndian(place[^4..], (ushort)source.Port);
        BinaryPrimitives.WriteUInt16BigEndian(place[^2..], (ushort)destination.Port);
    }

    private static void WritePath(Span<byte> place, Endpoint endpoint)
    {
        var path = endpoint.IsAbstract ? "\0" + endpoint.Host[1..] : endpoint.Host;
        Encoding.UTF8.GetBytes(path, place);
    }
}
