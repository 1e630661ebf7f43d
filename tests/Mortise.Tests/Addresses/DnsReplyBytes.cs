using System.Net;
using System.Text;

namespace Mortise.Tests.Addresses;

/// <summary>What a client asked a <see cref="LoopbackDns"/>.</summary>
internal sealed record DnsAsk(byte[] Query, string Name, ushort Type, bool OverTcp);

/// <summary>
/// Builds replies byte by byte, honest and hostile ones. It shares no code with the reader under test.
/// </summary>
internal sealed class DnsReplyBytes
{
    public const ushort A = 1, Cname = 5, Ptr = 12, Aaaa = 28;

    private readonly List<byte> _bytes;
    private int _answers;

    /// <summary>Begins with the question repeated; the first record is at <see cref="Length"/>.</summary>
    public DnsReplyBytes(DnsAsk ask, int code = 0)
    {
        _bytes = [.. ask.Query];
        _bytes[2] |= 0x80;
        _bytes[3] = (byte)(0x80 | code);
    }

    public int Length => _bytes.Count;

    public DnsReplyBytes Address(string owner, string address, uint ttlSeconds = 60)
    {
        var data = IPAddress.Parse(address).GetAddressBytes();
        return Record(Name(owner), data.Length == 4 ? A : Aaaa, ttlSeconds, data);
    }

    public DnsReplyBytes Pointing(string owner, ushort type, string target, uint ttlSeconds = 60) =>
        Record(Name(owner), type, ttlSeconds, Name(target));

    public DnsReplyBytes Record(byte[] owner, ushort type, uint ttlSeconds, byte[] data, int? lengthLie = null)
    {
        var length = lengthLie ?? data.Length;
        _bytes.AddRange(owner);
        _bytes.AddRange([(byte)(type >> 8), (byte)type, 0, 1]);
        _bytes.AddRange(
            [(byte)(ttlSeconds >> 24), (byte)(ttlSeconds >> 16), (byte)(ttlSeconds >> 8), (byte)ttlSeconds]);
        _bytes.AddRange([(byte)(length >> 8), (byte)length]);
        _bytes.AddRange(data);
        return Announce(_answers + 1);
    }

    /// <summary>Bytes that are no record.</summary>
    public DnsReplyBytes Raw(params byte[] raw)
    {
        _bytes.AddRange(raw);
        return this;
    }

    /// <summary>Says how many records follow, which may be a lie.</summary>
    public DnsReplyBytes Announce(int count)
    {
        _answers = count;
        (_bytes[6], _bytes[7]) = ((byte)(count >> 8), (byte)count);
        return this;
    }

    /// <summary>Sets TC: the rest is to be had over TCP.</summary>
    public DnsReplyBytes Cut()
    {
        _bytes[2] |= 0x02;
        return this;
    }

    public DnsReplyBytes WithId(int id)
    {
        (_bytes[0], _bytes[1]) = ((byte)(id >> 8), (byte)id);
        return this;
    }

    public byte[] ToArray() => [.. _bytes];

    public static byte[] Pointer(int offset) => [(byte)(0xc0 | offset >> 8), (byte)offset];

    public static byte[] Name(string name) =>
        [.. name.Split('.').SelectMany(label => (byte[])[(byte)label.Length, .. Encoding.Latin1.GetBytes(label)]), 0];
}
