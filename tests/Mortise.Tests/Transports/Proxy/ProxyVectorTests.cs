using System.Buffers;
using System.Text;
using Mortise.Testing;
using Mortise.Transports.Proxy;
using Xunit;

namespace Mortise.Tests.Transports.Proxy;

/// <summary>Headers as the specification has them, whole and cut, and everything that is none.</summary>
public sealed class ProxyVectorTests
{
    private const string Sig = "0D0A0D0A000D0A515549540A";

    // The example of section 2.1, the longest lines it gives, and what its grammar allows beside.
    public static TheoryData<string, string?, string?> Lines => new()
    {
        { "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443", "192.168.0.1:56324", "192.168.0.11:443" },
        { "PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535", "255.255.255.255:65535", "255.255.255.255:65535" },
        { "PROXY TCP4 0.0.0.0 127.0.0.1 0 1", "0.0.0.0:0", "127.0.0.1:1" },
        { "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535" },
        { "PROXY TCP6 2001:DB8::9 ::1 51000 443", "[2001:db8::9]:51000", "[::1]:443" },
        { "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:c000:202 1 2", "192.0.2.1:1", "192.0.2.2:2" },
        { "PROXY UNKNOWN", null, null },
        { "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535",
            null, null },
        { "PROXY UNKNOWN \r\t \n anything, é", null, null },
    };

    // (after the signature) the commands, families and lengths of section 2.2
    public static TheoryData<string, string?, string?, string> Binaries => new()
    {
        { "20 00 0000", null, null, "" },
        { "20 FF 0003 010203", null, null, "" },
        { "21 00 0000", null, null, "" },
        { "21 00 0004 DEADBEEF", null, null, "" },
        { "21 01 0003 DEADBE", null, null, "" },
        { "21 10 0002 DEAD", null, null, "" },
        { "21 11 000C C0A80001 C0A8000B DC04 01BB", "tcp://192.168.0.1:56324", "tcp://192.168.0.11:443", "" },
        { "21 12 000C C0A80001 C0A8000B DC04 01BB", "udp://192.168.0.1:56324", "udp://192.168.0.11:443", "" },
        { "21 21 0024 20010DB8000000000000000000000009 00000000000000000000000000000001 C738 01BB",
            "tcp://[2001:db8::9]:51000", "tcp://[::1]:443", "" },
        { "21 31 00D8 " + Path("/run/a.sock") + Path("\0b"), "unix:/run/a.sock", "unix:@b", "" },
        { "21 32 00D8 " + Path("") + Path("/b"), "unixgram:", "unixgram:/b", "" },
        { "21 11 0016 01020304 05060708 0001 0002 04 0000 02 0004 686F7374", "tcp://1.2.3.4:1", "tcp://5.6.7.8:2",
            "02=host" },
        { "21 11 0018 01020304 05060708 0001 0002 04 0002 FFFF E0 0001 41 05 0000", "tcp://1.2.3.4:1",
            "tcp://5.6.7.8:2", "e0=A 05=" },
    };

    [Theory, MemberData(nameof(Lines))]
    public void A_line_is_read_however_it_is_cut(string line, string? source, string? destination) =>
        AssertRead(Encoding.Latin1.GetBytes(line + "\r\n"), 1, source is null ? null : "tcp://" + source,
            destination is null ? null : "tcp://" + destination, "");

    [Theory, MemberData(nameof(Binaries))]
    public void A_binary_header_is_read_however_it_is_cut(string rest, string? source, string? destination,
        string tlvs) => AssertRead(Binary(rest), 2, source, destination, tlvs);

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n", "no PROXY header: the first bytes are ASCII 'GET ': an HTTP client directly")]
    [InlineData("hello", "the first bytes are ASCII 'hell': a client directly")]
    [InlineData("\x16\x03\x01\x02\x00", "the first bytes are 16030102: a TLS client directly")]
    [InlineData("PROXYTCP4 1.2.3.4 5.6.7.8 1 2\r\n", "no PROXY header: the first bytes are ASCII 'PROX'")]
    [InlineData("proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "no PROXY header")]
    [InlineData("\r\n\r\nGET /", "no PROXY header: the first bytes are 0D0A0D0A")]
    [InlineData("PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n", "none of TCP4, TCP6 and UNKNOWN")]
    [InlineData("PROXY \r\n", "none of TCP4, TCP6 and UNKNOWN")]
    [InlineData("PROXY UNKNOWNS\r\n", "none of TCP4, TCP6 and UNKNOWN")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "3 fields after TCP4")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n", "5 fields after TCP4")]
    [InlineData("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n", "5 fields after TCP4")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n", "5 fields after TCP4")]
    [InlineData("PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "its source is no address")]
    [InlineData("PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n", "its source is no address")]
    [InlineData("PROXY TCP4 1.2.3.4 ::1 1 2\r\n", "its destination is no address")]
    [InlineData("PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "its source is no address")]
    [InlineData("PROXY TCP6 fe80::1%1 ::1 1 2\r\n", "its source is no address")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n", "its source port is not")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 02\r\n", "its destination port is not")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n", "its source port is not")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n", "its destination port is not")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n", "a single CR or LF")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx", "a single CR or LF")]
    public void What_is_no_line_is_refused_in_a_sentence(string text, string reason) =>
        AssertRefused(Encoding.Latin1.GetBytes(text), reason);

    [Fact]
    public void A_line_that_does_not_end_within_107_bytes_is_refused()
    {
        AssertRead(Encoding.ASCII.GetBytes("PROXY UNKNOWN ".PadRight(105, 'x') + "\r\n"), 1, null, null, "");
        AssertRefused(Encoding.ASCII.GetBytes("PROXY UNKNOWN ".PadRight(106, 'x') + "\r\n"),
            "no CRLF in its first 107");
    }

    [Theory]
    [InlineData("10 00 0000", "no version 1")]
    [InlineData("31 11 000C", "no version 3")]
    [InlineData("22 11 000C", "no command 2")]
    [InlineData("21 41 000C", "no address family and protocol 0x41")]
    [InlineData("21 13 000C", "no address family and protocol 0x13")]
    [InlineData("21 11 0801", "it announces 2049 bytes, and 2048 are the limit")]
    [InlineData("20 00 FFFF", "it announces 65535 bytes")]
    [InlineData("21 11 000B 01020304 05060708 0001 00", "11 bytes cannot hold the addresses")]
    [InlineData("21 21 000C 01020304 05060708 0001 0002", "12 bytes cannot hold the addresses")]
    [InlineData("21 11 000E 01020304 05060708 0001 0002 04 00", "its last TLV goes beyond its end")]
    [InlineData("21 11 0010 01020304 05060708 0001 0002 04 0002 FF", "its last TLV goes beyond its end")]
    [InlineData("21 11 0012 01020304 05060708 0001 0002 03 0003 000000", "its checksum is not one of 4 bytes")]
    [InlineData("21 11 0013 01020304 05060708 0001 0002 03 0004 00000000", "its checksum is 0x00000000, and that of")]
    public void What_is_no_binary_header_is_refused_in_a_sentence(string rest, string reason) =>
        AssertRefused(Binary(rest), reason);

    [Fact]
    public void The_checksum_is_verified_over_the_whole_header()
    {
        // By hand: CRC-32C (Castagnoli, reflected, 0xFFFFFFFF in and out) bit by bit, with zeros in its own place.
        var bytes = Binary("21 11 0017 CB007109 C6336401 C738 01BB 03 0004 00000000 02 0001 78");
        var crc = Bitwise(bytes);
        for (var i = 0; i < 4; i++)
            bytes[31 + i] = (byte)(crc >> (24 - 8 * i));
        AssertRead(bytes, 2, "tcp://203.0.113.9:51000", "tcp://198.51.100.1:443",
            $"03={Encoding.Latin1.GetString(bytes[31..35])} 02=x");
        for (var bit = 16 * 8; bit < bytes.Length * 8; bit++)
        {
            if (bit / 8 == 28)
                continue; // its type: then it is something else, and nothing is checked
            bytes[bit / 8] ^= (byte)(1 << bit % 8);
            AssertRefused(bytes, "malformed");
            bytes[bit / 8] ^= (byte)(1 << bit % 8);
        }

        Assert.Equal(0xE3069283, Bitwise("123456789"u8.ToArray())); // the check value of CRC-32C
    }

    private static string Path(string name) =>
        Convert.ToHexString(Encoding.ASCII.GetBytes(name.PadRight(108, '\0')));

    private static byte[] Binary(string rest) => Convert.FromHexString(Sig + rest.Replace(" ", ""));

    private static uint Bitwise(byte[] bytes)
    {
        var crc = uint.MaxValue;
        foreach (var one in bytes)
        {
            crc ^= one;
            for (var bit = 0; bit < 8; bit++)
                crc = (crc & 1) != 0 ? crc >> 1 ^ 0x82F63B78 : crc >> 1;
        }

        return ~crc;
    }

    private static void AssertRead(byte[] header, int version, string? source, string? destination, string tlvs)
    {
        byte[] stream = [.. header, .. "GET / HTTP/1.1\r\n"u8];
        for (var have = 0; have <= stream.Length; have++)
        {
            var whole = ProxyReader.TryRead(new ReadOnlySequence<byte>(stream, 0, have), out var read, out var length);
            Assert.Equal(have >= header.Length, whole);
            if (!whole)
                continue;
            Assert.Equal((header.Length, version, source, destination), (length, read!.Version, read.Source?.ToString(),
                read.Destination?.ToString()));
            Assert.Equal(tlvs, string.Join(' ',
                read.Tlvs.Select(t => $"{t.Type:x2}={Encoding.Latin1.GetString(t.Value.Span)}")));
        }

        for (var cut = 1; cut < header.Length; cut++)
        {
            Assert.True(ProxyReader.TryRead(SegmentedBytes.Create(stream, cut), out var read, out var length));
            Assert.Equal((header.Length, source), (length, read.Source?.ToString()));
        }
    }

    private static void AssertRefused(byte[] bytes, string reason)
    {
        var error = Assert.Throws<HandshakeException>(() =>
        {
            ProxyReader.TryRead(new ReadOnlySequence<byte>(bytes), out _, out _);
        });
        Assert.Contains(reason, error.Reason);
        Assert.Equal(CloseReason.ProxyHeader, error.CloseReason);
        // One that is refused late was not accepted early.
        for (var have = 0; have < bytes.Length; have++)
            try
            {
                Assert.False(ProxyReader.TryRead(new ReadOnlySequence<byte>(bytes, 0, have), out _, out _));
            }
            catch (HandshakeException)
            {
                // Sooner is better.
            }
    }
}
