using System.Buffers;
using System.Text;
using Mortise.Testing;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>A verifier that finds nothing proves nothing: each of these codecs has a defect from the field.</summary>
public sealed class CodecVerifierTests
{
    [Fact]
    public void One_read_taken_for_one_message_is_found()
    {
        var failure = Assert.Throws<CodecVerificationException>(() =>
            CodecVerifier.VerifyEverySplit(Framing.Parse("raw").Utf8(), "hi", "there"));
        Assert.Contains("one read of 7: message 0 came as hithere, sent was hi; repeat with seed", failure.Message);
    }

    [Fact]
    public void A_codec_that_looks_only_at_the_first_segment_is_found()
    {
        var codec = Codec.Create(Framing.Parse("len:1"), frame => Encoding.UTF8.GetString(frame.FirstSpan),
            (string text, IBufferWriter<byte> output) => output.Write(Encoding.UTF8.GetBytes(text)));
        var failure = Assert.Throws<CodecVerificationException>(() => CodecVerifier.VerifyEverySplit(codec, "abc"));
        Assert.Contains("segments of 1 byte", failure.Message);
    }

    [Fact]
    public void A_codec_that_drops_a_field_is_found()
    {
        var codec = Codec.Create(Framing.Parse("line"), frame => new Said(1, "", Encoding.UTF8.GetString(frame)),
            (Said said, IBufferWriter<byte> output) => output.Write(Encoding.UTF8.GetBytes(said.Text)));
        CodecVerifier.VerifyEverySplit(codec, new Said(1, "", "x"));
        Assert.Throws<CodecVerificationException>(() => CodecVerifier.VerifyEverySplit(codec, new Said(2, "", "x")));
    }

    [Fact]
    public void A_truncated_end_that_is_not_told_is_found()
    {
        // Any digit is a whole frame to this rule, so the end of "123" after one byte looks like a message.
        var rule = Framing.Custom("greedy", (in ReadOnlySequence<byte> head) => FrameLength.Of(head.Length));
        var failure = Assert.Throws<CodecVerificationException>(() =>
            CodecVerifier.VerifyEverySplit(rule.Utf8(), "123"));
        Assert.Contains("message 0 came as 1", failure.Message);
    }

    [Fact]
    public void The_same_seed_gives_the_same_cuts()
    {
        var seen = new List<string>();
        for (var run = 0; run < 2; run++)
        {
            var pieces = new StringBuilder();
            var codec = Codec.Create(Framing.Parse("len:1"), frame =>
            {
                pieces.Append(frame.FirstSpan.Length).Append(' ');
                return Encoding.ASCII.GetString(frame);
            }, (string text, IBufferWriter<byte> output) => output.Write(Encoding.ASCII.GetBytes(text)));
            CodecVerifier.VerifyEverySplit(codec, ["abcdef", "ghi"], seed: 7);
            seen.Add(pieces.ToString());
        }
        Assert.Equal(seen[0], seen[1]);
    }
}
