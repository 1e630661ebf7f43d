using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;

namespace Mortise.Addresses.Dns;

/// <summary>The record types this client asks for or follows (RFC 1035, RFC 3596).</summary>
internal enum DnsType : ushort
{
    A = 1,
    Cname = 5,
    Ptr = 12,
    Aaaa = 28,
}

/// <summary>What the server says about the question (RFC 1035 section 4.1.1).</summary>
internal enum DnsCode
{
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NameError = 3,
    NotImplemented = 4,
    Refused = 5,
}

/// <summary>One answer: an address, or the name that a CNAME or PTR points at.</summary>
internal readonly record struct DnsRecord(string Owner, DnsType Type, uint TtlSeconds, IPAddress? Address,
    string Target);

/// <summary>A reply that belongs to the question and is whole.</summary>
internal sealed record DnsReply(DnsCode Code, bool Truncated, IReadOnlyList<DnsRecord> Answers);

/// <summary>The server's bytes break RFC 1035.</summary>
internal sealed class DnsFormatException(string reason) : Exception(reason);

/// <summary>Writes queries and reads replies. A reply comes from anybody: every offset and length is checked.</summary>
internal static class DnsMessage
{
    public const int HeaderBytes = 12;

    /// <summary>A query for one name with recursion desired, in class IN.</summary>
    /// <exception cref="ArgumentException">A label is not 1 to 63 bytes, or the name is over 255.</exception>
    public static byte[] EncodeQuery(ushort id, string name, DnsType type)
    {
        var query = new List<byte>(HeaderBytes + name.Length + 6)
        {
            (byte)(id >> 8), (byte)id, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0,
        };
        foreach (var label in name.TrimEnd('.').Split('.'))
        {
            var bytes = Encoding.ASCII.GetBytes(label);
            if (bytes.Length is 0 or > 63)
                throw new ArgumentException("a label has 1 to 63 bytes", nameof(name));
            query.Add((byte)bytes.Length);
            query.AddRange(bytes);
        }
        query.AddRange([0, (byte)((ushort)type >> 8), (byte)type, 0, 1]);
        if (query.Count - HeaderBytes - 4 > 255)
            throw new ArgumentException("a name has at most 255 bytes", nameof(name));
        return [.. query];
    }

    /// <summary>
    /// Whether these bytes are a reply to that query: same id, same question. Anything else is another exchange's or
    /// a forgery, and the caller waits on.
    /// </summary>
    public static bool Answers(ReadOnlySpan<byte> reply, ReadOnlySpan<byte> query)
    {
        if (reply.Length < query.Length || !reply[..2].SequenceEqual(query[..2]) || (reply[2] & 0x80) == 0
            || BinaryPrimitives.ReadUInt16BigEndian(reply[4..]) != 1)
            return false;
        // A question is never compressed, and a server repeats it as it came but for the letters' case.
        return Ascii.EqualsIgnoreCase(reply[HeaderBytes..query.Length], query[HeaderBytes..]);
    }

    /// <summary>Reads a reply for which <see cref="Answers"/> is true.</summary>
    /// <exception cref="DnsFormatException">The records break the format.</exception>
    public static DnsReply Decode(ReadOnlySpan<byte> reply, int queryBytes)
    {
        var code = (DnsCode)(reply[3] & 0x0f);
        var truncated = (reply[2] & 0x02) != 0;
        var announced = BinaryPrimitives.ReadUInt16BigEndian(reply[6..]);
        var answers = new List<DnsRecord>();
        var at = queryBytes;
        // A truncated reply is asked for again over TCP; what it holds may end anywhere.
        for (var i = 0; i < announced && !truncated; i++)
        {
            if (ReadRecord(reply, ref at) is { } record)
                answers.Add(record);
        }
        return new(code, truncated, answers);
    }

    private static DnsRecord? ReadRecord(ReadOnlySpan<byte> message, ref int at)
    {
        var owner = ReadName(message, ref at);
        if (message.Length - at < 10)
            throw new DnsFormatException("it ends inside a record");
        var type = (DnsType)BinaryPrimitives.ReadUInt16BigEndian(message[at..]);
        var inClass = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 2)..]) == 1;
        var ttlSeconds = BinaryPrimitives.ReadUInt32BigEndian(message[(at + 4)..]);
        var dataBytes = BinaryPrimitives.ReadUInt16BigEndian(message[(at + 8)..]);
        at += 10;
        if (message.Length - at < dataBytes)
            throw new DnsFormatException("a record's length goes past the end");
        var data = message.Slice(at, dataBytes);
        var dataAt = at;
        at += dataBytes;
        // RFC 2181 section 8: a time to live with the highest bit set counts as 0.
        ttlSeconds = ttlSeconds > int.MaxValue ? 0 : ttlSeconds;
        switch (type)
        {
            case DnsType.A or DnsType.Aaaa when inClass:
                if (dataBytes != (type == DnsType.A ? 4 : 16))
                    throw new DnsFormatException(string.Create(CultureInfo.InvariantCulture,
                        $"an address record has {dataBytes} bytes"));
                return new(owner, type, ttlSeconds, new IPAddress(data), "");
            case DnsType.Cname or DnsType.Ptr when inClass:
                var target = ReadName(message, ref dataAt);
                return dataAt == at
                    ? new(owner, type, ttlSeconds, null, target)
                    : throw new DnsFormatException("a name does not fill its record");
            default:
                return null;
        }
    }

    /// <summary>
    /// Reads a name, following compression pointers (RFC 1035 section 4.1.4). Each must point before the place where
    /// the current run of labels began, so that the run strictly moves to the front and cannot loop.
    /// </summary>
    internal static string ReadName(ReadOnlySpan<byte> message, ref int at)
    {
        var name = new StringBuilder();
        var (cursor, runStart, wireBytes) = (at, at, 1);
        var jumped = false;
        while (true)
        {
            if (cursor >= message.Length)
                throw new DnsFormatException("a name goes past the end");
            int length = message[cursor];
            if (length >= 0xc0)
            {
                if (cursor + 1 >= message.Length)
                    throw new DnsFormatException("it ends inside a compression pointer");
                var target = (length & 0x3f) << 8 | message[cursor + 1];
                if (target >= runStart)
                    throw new DnsFormatException("a compression pointer does not point backwards");
                if (!jumped)
                    at = cursor + 2;
                (cursor, runStart, jumped) = (target, target, true);
                continue;
            }
            if (length >= 0x40)
                throw new DnsFormatException("a label has an unknown type");
            if (message.Length - cursor - 1 < length)
                throw new DnsFormatException("a label goes past the end");
            wireBytes += length == 0 ? 0 : length + 1;
            if (wireBytes > 255)
                throw new DnsFormatException("a name is longer than 255 bytes");
            if (length == 0)
                break;
            AppendLabel(name, message.Slice(cursor + 1, length));
            cursor += 1 + length;
        }
        if (!jumped)
            at = cursor + 1;
        return name.Length == 0 ? "." : name.ToString();
    }

    /// <summary>What no host name has is written \DDD as in zone files, so none reaches a terminal raw.</summary>
    private static void AppendLabel(StringBuilder name, ReadOnlySpan<byte> label)
    {
        if (name.Length > 0)
            name.Append('.');
        foreach (var b in label)
        {
            var c = (char)b;
            if (char.IsAsciiLetterOrDigit(c) || c is '-' or '_')
                name.Append(char.ToLowerInvariant(c));
            else
                name.Append(CultureInfo.InvariantCulture, $"\\{b:D3}");
        }
    }
}
