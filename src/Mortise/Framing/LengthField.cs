namespace Mortise;

/// <content>The ways a number of bytes is written on the wire.</content>
public abstract partial class Framing
{
    private enum LengthCoding
    {
        BigEndian,
        LittleEndian,
        /// <summary>Groups of 7 bits, the lowest first, bit 7 = more follows (protobuf, MQTT).</summary>
        Varint,
        /// <summary>BER length octets, X.690 section 8.1.3: one octet below 128, or 0x80+n and n octets.</summary>
        Asn1,
    }

    /// <summary>One length field; <see cref="Size"/> is its size in bytes, or the largest where it varies.</summary>
    private readonly record struct LengthField(LengthCoding Coding, int Size)
    {
        public const int SizeMax = 10;

        public bool IsFixed => Coding is LengthCoding.BigEndian or LengthCoding.LittleEndian;

        public int SizeMin => IsFixed ? Size : 1;

        public ulong ValueMax => IsFixed && Size < 8 ? (1UL << (8 * Size)) - 1 : ulong.MaxValue;

        public string Name => Coding switch
        {
            LengthCoding.Varint => "varint",
            LengthCoding.Asn1 => "asn1",
            LengthCoding.LittleEndian => $"len:{Size}le",
            _ => $"len:{Size}",
        };

        public string OtherOrder => Coding == LengthCoding.LittleEndian ? $"len:{Size}" : $"len:{Size}le";

        public string Text(ulong value) => "0x" + value.ToString(IsFixed ? $"X{2 * Size}" : "X");

        /// <summary>The value in the other byte order, or null where there is none.</summary>
        public ulong? Swapped(ulong value)
        {
            if (!IsFixed || Size == 1)
                return null;
            Span<byte> bytes = stackalloc byte[SizeMax];
            Write(value, bytes);
            bytes[..Size].Reverse();
            Read(bytes, out var swapped);
            return swapped;
        }

        /// <summary>Reads the field: its size in bytes, or 0 when more must arrive. Throws FrameException.</summary>
        public int Read(ReadOnlySpan<byte> bytes, out ulong value)
        {
            value = 0;
            if (Coding == LengthCoding.Varint)
                return ReadVarint(bytes, out value);
            if (Coding == LengthCoding.Asn1)
                return ReadAsn1(bytes, out value);
            for (var i = 0; i < Size; i++)
                value = (value << 8) | bytes[Coding == LengthCoding.BigEndian ? i : Size - 1 - i];
            return Size;
        }

        /// <summary>
        /// Writes the shortest field of the value and returns its size in bytes. Throws FrameException.
        /// </summary>
        public int Write(ulong value, Span<byte> output)
        {
            if (value > ValueMax)
                throw new FrameException(CloseReason.FrameTooLong, $"a length of {value} does not fit {Size} byte(s)",
                    $"use a longer field: len:{Size + 1}");
            if (Coding == LengthCoding.Varint)
                return WriteVarint(value, output);
            if (Coding == LengthCoding.Asn1)
                return WriteAsn1(value, output);
            for (var i = 0; i < Size; i++, value >>= 8)
                output[Coding == LengthCoding.BigEndian ? Size - 1 - i : i] = (byte)value;
            return Size;
        }

        private static int ReadVarint(ReadOnlySpan<byte> bytes, out ulong value)
        {
            value = 0;
            for (var i = 0; i < bytes.Length; i++)
            {
                if (i == SizeMax - 1 && bytes[i] > 1)
                    throw Invalid("the varint length has more than 64 bits", "the peer does not frame with varints?");
                value |= (ulong)(bytes[i] & 0x7F) << (7 * i);
                if (bytes[i] >= 0x80)
                    continue;
                if (bytes[i] == 0 && i > 0)
                    throw Invalid($"the varint length {value} is written in {i + 1} bytes, longer than needed",
                        "senders must write the shortest form");
                return i + 1;
            }
            return 0;
        }

        private static int WriteVarint(ulong value, Span<byte> output)
        {
            var size = 0;
            for (; value >= 0x80; value >>= 7)
                output[size++] = (byte)(value | 0x80);
            output[size++] = (byte)value;
            return size;
        }

        private static int ReadAsn1(ReadOnlySpan<byte> bytes, out ulong value)
        {
            value = bytes[0];
            if (value < 0x80)
                return 1;
            var octets = bytes[0] & 0x7F;
            if (octets is 0 or > 8)
                throw Invalid(octets == 0
                    ? "the BER length is of the indefinite form (0x80)"
                    : $"the BER length announces {octets} length octets, at most 8 are read",
                    "the peer must send the definite form (DER)");
            value = 0;
            if (bytes.Length <= octets)
                return 0;
            foreach (var octet in bytes.Slice(1, octets))
                value = (value << 8) | octet;
            return 1 + octets;
        }

        private static int WriteAsn1(ulong value, Span<byte> output)
        {
            if (value < 0x80)
            {
                output[0] = (byte)value;
                return 1;
            }
            var octets = 8 - System.Numerics.BitOperations.LeadingZeroCount(value) / 8;
            output[0] = (byte)(0x80 | octets);
            for (var i = octets; i > 0; i--, value >>= 8)
                output[i] = (byte)value;
            return 1 + octets;
        }
    }
}
