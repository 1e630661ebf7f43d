using Xunit;

namespace Mortise.Tests.FramingRoom;

public sealed class RuleTextTests
{
    [Theory]
    [InlineData("len:9", "\"9\" is not the size", "len:1 to len:8")]
    [InlineData("len", "not the size", "len:4le")]
    [InlineData("len:4,le", "belongs to the size", "write len:4le")]
    [InlineData("len:4,strip=9,max=2", "strip=9 takes off more than the header's 4 bytes", "strip=4")]
    [InlineData("len:1,adj=-300", "negative or empty", "incl")]
    [InlineData("len:4,off=256", "off=256 is not a number from 0 to 255", "off=0")]
    [InlineData("len:4,strip=0,max=3", "at least 4 bytes of header", "max=4")]
    [InlineData("len:4,stirp=0", "no option \"stirp=0\"", "did you mean strip?")]
    [InlineData("len:4,max=1,max=2", "given twice", "options of len")]
    [InlineData("len:4,incl=1", "given twice or has the wrong form", "incl")]
    [InlineData("varint,strip=1", "cannot be counted", "strip=0")]
    [InlineData("varint,incl", "fixed size", "adj=")]
    [InlineData("varint:3", "nothing after a colon", "varint")]
    [InlineData("fixed:0", "not a block size", "fixed:1024")]
    [InlineData("fixed", "not a block size", "fixed:1024")]
    [InlineData("fixed:8,pad=256", "not a number from 0 to 255", "pad=0")]
    [InlineData("fixed:8,max=4", "no option \"max=4\"", "pad")]
    [InlineData("delim:", "a delimiter is empty", "delim:0D0A")]
    [InlineData("delim:END", "\"END\" is not a delimiter", "delim:'END'")]
    [InlineData("delim:0D0A|0D0A", "given twice", "leave one out")]
    [InlineData("delim:0D|0D0A", "0D0A can never end a frame", "leave one of the two out")]
    [InlineData("delim:616263|62", "616263 can never end a frame", "leave one of the two out")]
    [InlineData("delim:0D0A,keep,max=1", "no room for the delimiter", "raise max=")]
    [InlineData("line:lf", "no variant \"lf\"", "line:crlf")]
    [InlineData("lnie", "no rule \"lnie\"", "did you mean line?")]
    [InlineData("protobuff", "no rule", "did you mean protobuf?")]
    [InlineData("raw:1", "nothing after a colon", "raw")]
    [InlineData("line,max=0", "between 1 and", "1 MiB")]
    [InlineData("line,max=1MB", "not a size", "1MiB")]
    [InlineData("", "no rule \"\"", "rules: raw, line")]
    public void A_rule_that_cannot_work_is_refused_with_the_reason_and_the_mend(string text, string reason, string mend)
    {
        var refused = Assert.Throws<InvalidSettingException>(() => Framing.Parse(text));
        Assert.Equal("framing", refused.Operation);
        Assert.Contains(reason, refused.Reason);
        Assert.Contains(mend, refused.Hint);
        Assert.False(Framing.TryParse(text, out var none, out var error));
        Assert.Null(none);
        Assert.Contains(reason, error);
    }

    [Theory]
    [InlineData("raw", "raw")]
    [InlineData(" line ", "line")]
    [InlineData("ftp,keep,max=64KiB", "line:crlf,keep,max=65536")]
    [InlineData(@"delim:\r\n|\0|'a|b'", null)]
    [InlineData(@"delim:\r\n|\0|\x1E|'é'", "delim:0D0A|00|1E|C3A9")]
    [InlineData("delim:0d0a,keep", "delim:0D0A,keep")]
    [InlineData("fixed:1KiB,pad=0x20", "fixed:1024,pad=32")]
    [InlineData("len:4be,max=1MiB", "len:4")]
    [InlineData("len:4,adj=-4", "len:4,incl")]
    [InlineData("len:4,strip=4", "len:4")]
    [InlineData("len:2,off=1,adj=-3,strip=3", "len:2,off=1,incl,strip=3")]
    [InlineData("len:4le,off=3,adj=2,strip=0,max=2MiB", "len:4le,off=3,adj=2,max=2097152")]
    [InlineData("len:1,max=4096", "len:1")]
    [InlineData("varint,strip=0", "varint,strip=0")]
    [InlineData("grpc,max=4MiB", "len:4,off=1,max=4194304")]
    public void Every_rule_has_one_canonical_text(string text, string? canonical)
    {
        if (canonical is null)
        {
            Assert.Throws<InvalidSettingException>(() => Framing.Parse(text));
            return;
        }
        var rule = Framing.Parse(text);
        Assert.Equal(canonical, rule.ToString());
        Assert.Equal(rule, Framing.Parse(canonical));
        Assert.Equal(rule.GetHashCode(), Framing.Parse(canonical).GetHashCode());
        Assert.Equal(rule.FrameBytesMax, Framing.Parse(canonical).FrameBytesMax);
        Assert.NotEqual(rule, Framing.Parse("fixed:9"));
    }

    [Fact]
    public void The_maximum_is_never_more_than_the_field_can_announce()
    {
        Assert.Equal(255, Framing.Parse("len:1").FrameBytesMax);
        Assert.Equal(257, Framing.Parse("len:2,off=0,strip=0").WithMax(257).FrameBytesMax);
        Assert.Equal(65_535, Framing.Parse("skynet").WithMax(1 << 20).FrameBytesMax);
        Assert.Equal(65_533, Framing.Parse("len:2,incl").FrameBytesMax);
        Assert.Equal(1 << 20, Framing.Parse("len:3").FrameBytesMax);
        Assert.Equal(1024, Framing.Parse("game-seed").FrameBytesMax);
        Assert.Equal(5, Framing.Parse("json").WithMax(5).FrameBytesMax);
        Assert.Throws<InvalidSettingException>(() => Framing.Parse("game-seed").WithMax(1023));
        Assert.Throws<InvalidSettingException>(() => Framing.Parse("raw").WithMax(0));
        Assert.Throws<InvalidSettingException>(() => Framing.Parse("grpc").WithMax(4));
    }

    [Fact]
    public void Every_preset_is_a_rule()
    {
        foreach (var (name, rule) in Framing.Presets)
            Assert.Equal(Framing.Parse(rule), Framing.Parse(name));
    }

    [Fact]
    public void A_custom_rule_frames_both_ways_and_says_its_name()
    {
        // A frame is its own length in one byte, that byte included; a first byte of 0 begins none.
        static FrameLength Measure(in System.Buffers.ReadOnlySequence<byte> head) => head.FirstSpan[0] == 0
            ? FrameLength.Invalid("a length of 0 does not count itself")
            : FrameLength.Of(head.FirstSpan[0]);
        var rule = Framing.Custom("counted", Measure, 100);
        Assert.Equal("custom:counted,max=100", rule.ToString());
        Assert.Equal("026B 01 036162 then eof",
            Streams.Receive(rule, [2, 0x6B, 1, 3, 0x61, 0x62], [1, 1, 1, 1, 1, 1], 1).Text);
        Assert.Equal([2, 0x6B], Streams.Written(rule, [2, 0x6B]));
        Assert.Throws<FrameException>(() => Streams.Written(rule, [3, 0x6B]));
        Assert.Equal("a length of 0 does not count itself (rule custom:counted)",
            Streams.Receive(rule, 0).Failure!.Reason);
        Assert.Equal(CloseReason.FrameTooLong, Streams.Receive(rule, 101, 1).End);
        Assert.Equal(CloseReason.UnexpectedEof, Streams.Receive(rule, 5, 1).End);
        Assert.Equal(rule, Framing.Custom("counted", Measure, 100));
        Assert.NotEqual(rule, rule.WithMax(50));
    }
}
