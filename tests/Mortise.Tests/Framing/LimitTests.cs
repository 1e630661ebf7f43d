using System.Buffers;
using System.Text;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>Lengths that lie, peers that speak something else, and streams that end too early.</summary>
public sealed class LimitTests
{
    [Theory]
    [InlineData("len:4", "47455420 2F20485454", "announced=0x47455420 max=1 MiB", "ASCII \"GET \": an HTTP client")]
    [InlineData("len:4", "504F5354 20", "announced=0x504F5354", "ASCII \"POST \": an HTTP client on a length-prefixed")]
    [InlineData("len:4", "16030100 C8", "announced=0x16030100", "a TLS hello")]
    [InlineData("len:4", "5353482D 322E30", "announced=0x5353482D", "ASCII \"SSH-\": SSH on a length-prefixed")]
    [InlineData("len:4", "0D0A0D0A 000D0A51", "announced=0x0D0A0D0A", "a PROXY protocol header")]
    [InlineData("len:4", "05000000 68656C6C6F", "announced=0x05000000", "it is 5: wrong byte order? try len:4le")]
    [InlineData("len:4le", "00000005 68656C6C6F", "announced=0x05000000", "it is 5: wrong byte order? try len:4")]
    [InlineData("len:4", "FFFFFFFF", "announced=0xFFFFFFFF", "-1 as a signed number")]
    [InlineData("len:8", "FFFFFFFFFFFFFFFF", "announced=0xFFFFFFFFFFFFFFFF", "-1 as a signed number")]
    [InlineData("len:4", "80000001", "announced=0x80000001 max=1 MiB", "raise max=")]
    [InlineData("len:8", "0000000100000000", "announced=0x0000000100000000", "raise max=")]
    [InlineData("len:4", "31323334", "announced=0x31323334", "ASCII \"1234\": a text protocol")]
    [InlineData("len:4", "00100001", "announced=0x00100001", "raise max=")]
    [InlineData("len:4,max=64KiB", "00110000", "max=64 KiB", "byte order")]
    [InlineData("varint", "FFFFFFFFFFFFFFFFFF01", "announced=0xFFFFFFFFFFFFFFFF", "raise max=")]
    [InlineData("asn1", "84FFFFFFFF", "announced=0xFFFFFFFF", "raise max=")]
    [InlineData("netstring", "393939393939393A", "announced=9999999 max=1 MiB", "raise max=")]
    public void A_length_beyond_the_maximum_is_refused_with_its_cause(string rule, string wire, string reason,
        string hint)
    {
        var bytes = Convert.FromHexString(wire.Replace(" ", ""));
        var before = GC.GetAllocatedBytesForCurrentThread();
        var received = Streams.Receive(Framing.Parse(rule), bytes);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(CloseReason.FrameTooLong, received.End);
        Assert.Contains(reason, received.Failure!.Reason);
        Assert.Contains(hint, received.Failure.Hint);
        Assert.True(received.Failure.AnnouncedBytes > received.Failure.FrameBytesMax);
        Assert.InRange(allocated, 0, 512 * 1024);
        Row.Observed("N08", $"{rule} {wire}: {received.Failure.Message}; {allocated} bytes allocated in all");
    }

    [Theory, InlineData("line"), InlineData("line:crlf")]
    public void A_TLS_client_on_a_port_of_lines_is_told_at_once(string rule)
    {
        var received = Streams.Receive(Framing.Parse(rule), Convert.FromHexString("16030100C8010000C40303"));
        Assert.Equal(CloseReason.FrameInvalid, received.End);
        Assert.Contains("a TLS client on a port without TLS?", received.Failure!.Hint);
        received = Streams.Receive(Framing.Parse(rule), Convert.FromHexString("16030100C8010000C403030D0A"));
        Assert.Empty(received.Frames);
        Assert.Equal(CloseReason.FrameInvalid, received.End);
        Assert.Equal(CloseReason.UnexpectedEof,
            Streams.Receive(Framing.Parse(rule), Convert.FromHexString("16030100C8020000C40303")).End);
    }

    [Fact]
    public void A_length_of_zero_is_a_legal_empty_frame()
    {
        foreach (var (rule, zero) in new[] { ("len:4", "00000000"), ("len:1", "00"), ("varint", "00"), ("asn1", "00"),
            ("len:4,incl", "00000004"), ("netstring", "303A2C"), ("line", "0A") })
            Assert.Equal(" then eof", Streams.Receive(Framing.Parse(rule), Convert.FromHexString(zero)).Text);
        Row.Observed("N08", "length 0 gives one empty frame: len, incl, varint, asn1, netstring, line");
    }

    [Fact]
    public void A_length_that_does_not_count_its_own_header_is_refused()
    {
        var received = Streams.Receive(Framing.Parse("workerman"), 0, 0, 0, 3);
        Assert.Equal(CloseReason.FrameInvalid, received.End);
        Assert.Contains("says 3, less than the 4 bytes", received.Failure!.Reason);
        Assert.Contains("leave incl out", received.Failure.Hint);
    }

    [Theory]
    [InlineData("varint", "8000", "longer than needed")]
    [InlineData("varint", "FFFFFFFFFFFFFFFFFFFF", "more than 64 bits")]
    [InlineData("asn1", "80", "indefinite form")]
    [InlineData("asn1", "FF", "127 length octets")]
    [InlineData("netstring", "30353A", "begins with 0")]
    [InlineData("netstring", "47455420", "not a digit")]
    [InlineData("netstring", "3A", "not a digit")]
    [InlineData("netstring", "313A6162", "not the closing comma")]
    [InlineData("json", "47455420", "begins no JSON value")]
    [InlineData("json", "5B7D", "closes nothing open")]
    [InlineData("json", "EFBBBF7B7D", "begins no JSON value")]
    public void Bytes_that_begin_no_frame_are_refused(string rule, string wire, string reason)
    {
        var received = Streams.Receive(Framing.Parse(rule), Convert.FromHexString(wire));
        Assert.Equal(CloseReason.FrameInvalid, received.End);
        Assert.Contains(reason, received.Failure!.Message);
    }

    [Fact]
    public void Json_may_nest_64_deep_and_no_deeper()
    {
        var rule = Framing.Parse("json");
        byte[] Nested(int depth) => Encoding.ASCII.GetBytes(new string('[', depth) + new string(']', depth));
        Assert.Equal(CloseReason.Eof, Streams.Receive(rule, Nested(64)).End);
        Assert.Equal(CloseReason.FrameInvalid, Streams.Receive(rule, Nested(65)).End);
    }

    [Theory]
    [InlineData("line,max=4", "616263640A", "61626364650A")]
    [InlineData("line,max=4", "616263640D0A", "61626364650D0A")]
    [InlineData("delim:0D0A|00,max=4", "616263640D0A", "616263640D0D0A")]
    [InlineData("line,keep,max=4", "6162630A", "616263640A")]
    [InlineData("json,max=4", "5B31325D", "5B3132335D")]
    [InlineData("len:1,max=4", "0461626364", "05616263646566")]
    [InlineData("netstring,max=4", "343A616263642C", "353A61626364652C")]
    public void The_maximum_itself_is_allowed_and_one_byte_more_is_not(string text, string fits, string exceeds)
    {
        var rule = Framing.Parse(text);
        foreach (var read in (int[])[1, 2, 100])
        {
            var (good, bad) = (Convert.FromHexString(fits), Convert.FromHexString(exceeds));
            Assert.Equal(CloseReason.Eof, Streams.Receive(rule, good, Enumerable.Repeat(read, good.Length)).End);
            Assert.Equal(CloseReason.FrameTooLong, Streams.Receive(rule, bad, Enumerable.Repeat(read, bad.Length)).End);
        }
    }

    [Fact]
    public void A_line_without_an_end_is_given_up_at_the_maximum_not_later()
    {
        var received = Streams.Receive(Framing.Parse("line,max=1KiB"), new byte[5000], Enumerable.Repeat(100, 50));
        Assert.Equal(CloseReason.FrameTooLong, received.End);
        Assert.Equal(1100, received.Failure!.HaveBytes);
        Row.Observed("N05", $"5000 bytes without a line feed, max 1 KiB: {received.Failure.Message}");
    }

    [Theory]
    [InlineData("line", "616263", 3, -1)]
    [InlineData("delim:0D0A", "6162630D", 4, -1)]
    [InlineData("fixed:8", "616263", 3, 8)]
    [InlineData("len:4", "0000", 2, 4)]
    [InlineData("len:4", "00000009 616263", 7, 13)]
    [InlineData("varint", "09 616263", 4, 10)]
    [InlineData("netstring", "393A6162", 4, 12)]
    [InlineData("json", "7B2261223A31", 6, -1)]
    [InlineData("json", "3132", 2, -1)]
    public void A_stream_that_ends_inside_a_frame_is_an_error(string rule, string wire, long have, long need)
    {
        var bytes = Convert.FromHexString(wire.Replace(" ", ""));
        var received = Streams.Receive(Framing.Parse(rule), bytes, Enumerable.Repeat(1, bytes.Length), 1);
        Assert.Equal(CloseReason.UnexpectedEof, received.End);
        Assert.Equal(have, received.Failure!.HaveBytes);
        Assert.Equal(need, received.Failure.NeedBytes);
        Row.Observed("N09", $"{rule} {wire} then EOF: {received.Failure.Message}");
    }

    [Fact]
    public void A_truncated_frame_of_a_stranger_names_the_stranger()
    {
        // "GE" as a length of 2 bytes is 18245: below the maximum, so the connection waits until the peer gives up.
        var received = Streams.Receive(Framing.Parse("len:2"), "GET / HTTP/1.1\r\n\r\n"u8.ToArray());
        Assert.Contains("have=18 need=18247", received.Failure!.Reason);
        Assert.Contains("an HTTP client", received.Failure.Hint);
    }

    [Fact]
    public void What_cannot_come_back_is_not_written()
    {
        foreach (var (text, payload) in new[] { ("line", "a\nb"), ("delim:'ab'", "xaby"), ("delim:'abab'", "ab"),
            ("fixed:4", "abc"), ("fixed:4,pad=0", "ab\0"), ("fixed:4,pad=0", "abcde"), ("len:1,max=3", "abcd"),
            ("len:4,off=1", "abcd"), ("len:2,adj=3,strip=2", "ab"), ("mqtt", "\x30\x05hi"), ("json", "{"),
            ("json", "1 2"), ("json", " 1"), ("delim:00,keep", "ab"), ("delim:00,keep", "a\0b\0"),
            ("netstring,max=1", "ab") })
        {
            var output = new ArrayBufferWriter<byte>();
            var failure = Assert.Throws<FrameException>(() =>
                Framing.Parse(text).Write(Encoding.Latin1.GetBytes(payload), output));
            Assert.Equal(0, output.WrittenCount);
            Assert.NotNull(failure.Hint);
        }
        Row.Observed("N10", "payloads that hold the delimiter, have the wrong size or a wrong header are refused "
            + "before a byte is written");
    }
}
