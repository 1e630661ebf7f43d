using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Mortise.Transports.Kernel;

/// <summary>
/// The control message that tells which of our addresses a datagram came to (IP_PKTINFO in ip(7), IPV6_PKTINFO in
/// ipv6(7)). Given with a send, the same message chooses the address that the datagram leaves from.
/// </summary>
internal static class PacketInfo
{
    /// <summary>Room for both messages: an IPv6 socket that was asked for both gets both with an IPv4 peer.</summary>
    public const int RoomBytes = 80;

    private const int V4Level = 0, V4Type = 8;    // in_pktinfo: index, our address, the packet's destination
    private const int V6Level = 41, V6Type = 50;  // in6_pktinfo: address, index
    private const byte V6Group = 0xFF;

    private static readonly int HeaderBytes = Unsafe.SizeOf<Header>();

    /// <summary>
    /// Makes of the <paramref name="length"/> bytes received the message that sends an answer from the same address.
    /// </summary>
    /// <returns>Its length; 0 where no address was told, or a group's, from which nothing can be sent.</returns>
    public static int TurnAround(Span<byte> control, int length)
    {
        for (var rest = control[..length]; MemoryMarshal.TryRead<Header>(rest, out var header);)
        {
            var bytes = (int)header.Length;
            if (bytes < HeaderBytes || bytes > rest.Length)
                break;
            if (header.IsV4 || (header.IsV6 && rest[HeaderBytes] != V6Group))
            {
                rest[..bytes].CopyTo(control);
                // Routes choose the interface; the one it came by need not be the way back.
                var data = control[HeaderBytes..bytes];
                data[(header.IsV4 ? ..4 : 16..20)].Clear();
                return bytes;
            }

            var aligned = (bytes + nuint.Size - 1) & -nuint.Size;
            rest = rest[Math.Min(aligned, rest.Length)..];
        }

        return 0;
    }

    /// <summary>The address in the message that <see cref="TurnAround"/> made: 4 or 16 bytes.</summary>
    public static ReadOnlySpan<byte> Address(ReadOnlySpan<byte> control) =>
        MemoryMarshal.Read<Header>(control).IsV4 ? control.Slice(HeaderBytes + 4, 4) : control.Slice(HeaderBytes, 16);

    /// <summary>struct cmsghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct Header
    {
        public readonly nuint Length;
        private readonly int _level, _type;

        public bool IsV4 => (_level, _type) == (V4Level, V4Type);

        public bool IsV6 => (_level, _type) == (V6Level, V6Type);
    }
}
