using System.Buffers.Binary;
using System.Globalization;

namespace Mortise;

/// <summary>
/// htons(3), htonl(3) and their inverses. Nothing in Mortise asks for them: ports and lengths are plain numbers in
/// host order everywhere. They are here to read other programs' code and bytes.
/// </summary>
public static class ByteOrder
{
    /// <summary>htons: a number whose memory, on this machine, is in network order (highest byte first).</summary>
    public static ushort HostToNet(ushort value) =>
        BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    /// <summary>htonl: the same for 32 bits.</summary>
    public static uint HostToNet(uint value) =>
        BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    /// <summary>The same for 64 bits (htobe64).</summary>
    public static ulong HostToNet(ulong value) =>
        BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;

    /// <summary>ntohs: undoes <see cref="HostToNet(ushort)"/>; the swap is its own inverse.</summary>
    public static ushort NetToHost(ushort value) => HostToNet(value);

    /// <summary>ntohl: undoes <see cref="HostToNet(uint)"/>.</summary>
    public static uint NetToHost(uint value) => HostToNet(value);

    /// <summary>Undoes <see cref="HostToNet(ulong)"/>.</summary>
    public static ulong NetToHost(ulong value) => HostToNet(value);

    /// <summary>How a 16-bit number, e.g. a port, lies in memory in either order.</summary>
    public static ByteOrderView Describe(ushort value) => new(value, 2);

    /// <summary>How a 32-bit number lies in memory in either order.</summary>
    public static ByteOrderView Describe(uint value) => new(value, 4);

    /// <summary>How a 64-bit number lies in memory in either order.</summary>
    public static ByteOrderView Describe(ulong value) => new(value, 8);
}

/// <summary>A number in both byte orders.</summary>
/// <param name="Value">The number.</param>
/// <param name="SizeBytes">Its size: 2, 4 or 8 bytes.</param>
public sealed record ByteOrderView(ulong Value, int SizeBytes)
{
    /// <summary>The number as code writes it, e.g. <c>0x232B</c>.</summary>
    public string Hex => "0x" + Value.ToString("X" + (SizeBytes * 2), CultureInfo.InvariantCulture);

    /// <summary>Memory of a big-endian machine, and the order on the network: the highest byte first.</summary>
    public ReadOnlyMemory<byte> BigEndian => Bytes(big: true);

    /// <summary>Memory of a little-endian machine (x86, ARM): the lowest byte first.</summary>
    public ReadOnlyMemory<byte> LittleEndian => Bytes(big: false);

    /// <summary>What the other side reads when the conversion is forgotten on one side: 9003 becomes 11043.</summary>
    public ulong Swapped => BinaryPrimitives.ReverseEndianness(Value) >> (64 - SizeBytes * 8);

    /// <summary>One line, as <c>mortise bytes</c> prints it: <c>host 0x232B  LE: 2B 23  …</c>.</summary>
    public override string ToString()
    {
        var forgotten = SizeBytes switch
        {
            2 => "if htons is forgotten you bind",
            4 => "if htonl is forgotten the peer reads",
            _ => "if the swap is forgotten the peer reads",
        };
        return string.Create(CultureInfo.InvariantCulture,
            $"host {Hex}  LE: {Spaced(LittleEndian)}  BE(network): {Spaced(BigEndian)}  {forgotten} {Swapped}");
    }

    private byte[] Bytes(bool big)
    {
        var bytes = new byte[SizeBytes];
        for (var i = 0; i < SizeBytes; i++)
            bytes[big ? SizeBytes - 1 - i : i] = (byte)(Value >> (8 * i));
        return bytes;
    }

    private static string Spaced(ReadOnlyMemory<byte> bytes) =>
        string.Join(' ', bytes.ToArray().Select(b => b.ToString("X2", CultureInfo.InvariantCulture)));
}
