using System.Buffers;
using System.Text;
using System.Text.Json.Serialization;
using Mortise.Testing;
using Xunit;

namespace Mortise.Tests.FramingRoom;

public sealed record Said(int Id, string Room, string Text);

[JsonSerializable(typeof(Said))]
internal sealed partial class SaidJson : JsonSerializerContext;

public sealed class CodecTests
{
    [Fact]
    public void The_documented_compositions_compile_and_keep_every_message()
    {
        var said = new[] { new Said(1, "lobby", "你好 \"}\n\0"), new Said(-1, "", "\u2028") };
        CodecVerifier.VerifyEverySplit(Codec.LengthPrefixed(maxFrame: 64 * 1024).Json(SaidJson.Default.Said), said);
        CodecVerifier.VerifyEverySplit(Framing.Parse("json").Json(SaidJson.Default.Said), said);
        CodecVerifier.VerifyEverySplit(Framing.Parse("line").Json(SaidJson.Default.Said), said);
        CodecVerifier.VerifyEverySplit(Framing.Parse("len:4").Utf8(), "hello", "", "𝄞\0\r\n");
        CodecVerifier.VerifyEverySplit(Codec.Lines(), "hello", "", "你好\r");
        CodecVerifier.VerifyEverySplit(Codec.LengthPrefixed(sizeBytes: 2, littleEndian: true).Utf8(), "a", "b");
        CodecVerifier.VerifyEverySplit(Codec.Frames(Framing.Parse("netstring")), "a\0,"u8.ToArray(), new byte[300]);
        CodecVerifier.VerifyEverySplit(Codec.Create(Framing.Parse("varint"),
            frame => int.Parse(Encoding.ASCII.GetString(frame)),
            (int n, IBufferWriter<byte> output) => output.Write(Encoding.ASCII.GetBytes($"{n}"))), 1, -20, 300);
        Row.Observed("N10", "the same codec encodes and decodes at every cut: len+JSON, line+JSON, lines, varint, "
            + "netstring");
    }

    [Fact]
    public void Bytes_echo_exactly_whatever_they_are()
    {
        var random = new byte[1 << 20];
        new Random(23).NextBytes(random);
        byte[][] payloads = ["ab\0cd"u8.ToArray(), [0xFF], [], random];
        foreach (var rule in (string[])["len:4", "varint", "netstring", "asn1"])
        {
            var wire = Streams.Written(Framing.Parse(rule), payloads);
            var reads = Streams.RandomReads(new Random(1), wire.Length, 9000);
            var received = Streams.Receive(Framing.Parse(rule), wire, reads, 4096);
            Assert.Equal(payloads, received.Frames);
        }
        Row.Observed("I23", "NUL, 0xFF, empty and 1 MiB of random bytes come back byte-exact through len:4, varint, "
            + "netstring, asn1");
        Row.Observed("Z15", "ab\\0cd is 5 bytes: lengths travel with the bytes, nothing looks for a NUL");
    }

    [Fact]
    public void A_character_split_across_reads_is_whole_again()
    {
        Encoding.RegisterProvider(CodePagesEncodingProvider.Instance);
        foreach (var encoding in new[] { Encoding.GetEncoding("gb18030"), Encoding.UTF8 })
        {
            var lines = new[] { "你好，世界", "𝄞 is four bytes", "naïve" };
            CodecVerifier.VerifyEverySplit(Codec.Lines(encoding: encoding), lines);
            CodecVerifier.VerifyEverySplit(Framing.Parse("len:2").Text(encoding), lines);
            Row.Observed("I25", $"{encoding.WebName}: {string.Join(" / ", lines)} cut at every byte decode unharmed, "
                + "as lines and by length");
        }
        var gb = Codec.Lines(encoding: Encoding.GetEncoding("gb18030"));
        Assert.Equal("C4E3BAC30A", Convert.ToHexString(Written(gb, "你好")));
    }

    [Fact]
    public void Text_that_is_not_valid_is_refused_with_its_position_unless_a_lenient_encoding_was_asked_for()
    {
        byte[] wire = [0x61, 0xC3, 0x28, 0x0A];
        var failure = Assert.Throws<FrameException>(() => Read(Codec.Lines(), wire));
        Assert.Equal(CloseReason.FrameInvalid, failure.CloseReason);
        Assert.Contains("byte 1 of the payload (C3) is not valid utf-8", failure.Reason);
        Assert.Equal("a\uFFFD(", Read(Codec.Lines(encoding: Encoding.UTF8), wire));
        var lone = Assert.Throws<FrameException>(() => Written(Codec.Lines(), "ab\ud800"));
        Assert.Contains("character 2", lone.Reason);
    }

    [Theory]
    [InlineData("{\"Id\":1,", "near byte")]
    [InlineData("{\"Id\":\"x\"}", "$.Id")]
    [InlineData("null", "null is no message")]
    [InlineData("{} {}", "near byte")]
    [InlineData("", "near byte 0")]
    public void Json_that_is_no_message_is_refused_with_its_position(string payload, string where)
    {
        var codec = Framing.Parse("len:4").Json(SaidJson.Default.Said);
        var wire = Streams.Written(codec.Framing, Encoding.UTF8.GetBytes(payload));
        var failure = Assert.Throws<FrameException>(() => Read(codec, wire));
        Assert.Equal(CloseReason.FrameInvalid, failure.CloseReason);
        Assert.Contains(where, failure.Message);
    }

    [Fact]
    public void A_message_in_one_piece_is_not_copied()
    {
        byte[] wire = [0, 0, 0, 2, 0x68, 0x69];
        var message = Read(Codec.LengthPrefixed(), wire);
        wire[4] = (byte)'H';
        Assert.Equal("Hi"u8, message.Span);
    }

    [Fact]
    public void An_encoder_that_fails_or_nests_leaves_nothing_behind()
    {
        var inner = Codec.Lines();
        var codec = Codec.Create(Framing.Parse("len:1"), frame => Encoding.ASCII.GetString(frame),
            (string text, IBufferWriter<byte> output) =>
            {
                output.Write("half"u8);
                inner.Write(text, output);
                if (text == "bad")
                    throw new InvalidOperationException();
            });
        var wire = new ArrayBufferWriter<byte>();
        Assert.Throws<InvalidOperationException>(() => codec.Write("bad", wire));
        Assert.Throws<FrameException>(() => codec.Write(new string('x', 300), wire));
        Assert.Equal(0, wire.WrittenCount);
        codec.Write("ok", wire);
        Assert.Equal("\ahalfok\n"u8, wire.WrittenSpan);
    }

    private static T Read<T>(Codec<T> codec, byte[] wire)
    {
        var buffer = new ReadOnlySequence<byte>(wire);
        var scan = default(FrameScan);
        Assert.True(codec.TryRead(ref buffer, ref scan, out var message));
        return message;
    }

    private static byte[] Written<T>(Codec<T> codec, T message)
    {
        var output = new ArrayBufferWriter<byte>();
        codec.Write(message, output);
        return output.WrittenSpan.ToArray();
    }
}
