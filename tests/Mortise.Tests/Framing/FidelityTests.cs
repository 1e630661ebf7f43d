using System.Buffers;
using System.Text;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>Long streams: the same frames however they are cut, and work that grows with the bytes only.</summary>
public sealed class FidelityTests
{
    private const int Frames = 10_000;

    [Theory]
    [InlineData("line")]
    [InlineData(@"delim:\r\n|'END'")]
    [InlineData("fixed:16,pad=0")]
    [InlineData("len:3le")]
    [InlineData("len:2,off=1,incl,strip=3")]
    [InlineData("varint")]
    [InlineData("asn1")]
    [InlineData("netstring")]
    [InlineData("json")]
    public void Ten_thousand_frames_survive_every_cut(string text)
    {
        var rule = Framing.Parse(text);
        var random = new Random(5);
        var wire = Wire(rule, random);
        var whole = Streams.Receive(rule, wire, [wire.Length]);
        Assert.Equal(Frames, whole.Frames.Count);
        // Cut once, at every byte of the first 4 KiB: only the frames around the cut can differ.
        var head = wire[..8192];
        var expected = Streams.Receive(rule, head, [head.Length]).Text;
        for (var cut = 1; cut <= 4096; cut++)
            Assert.Equal(expected, Streams.Receive(rule, head, [cut, head.Length - cut]).Text);
        foreach (var most in (int[])[1, 3, 16, 1000, 100_000])
        {
            var reads = Streams.RandomReads(random, wire.Length, most);
            Assert.Equal(whole.Text, Streams.Receive(rule, wire, reads, segmentBytes: 64).Text);
        }
    }

    [Fact]
    public void Ten_thousand_blocks_survive_reads_of_1_to_n_bytes()
    {
        foreach (var size in (int[])[1, 7, 64])
        {
            var random = new Random(size);
            var rule = Framing.Parse($"fixed:{size}");
            var wire = new byte[Frames * size];
            random.NextBytes(wire);
            var received = Streams.Receive(rule, wire, Streams.RandomReads(random, wire.Length, size));
            Assert.Equal(wire.Chunk(size).Select(Convert.ToHexString), received.Frames.Select(Convert.ToHexString));
            Row.Observed("N04", $"fixed:{size}: {Frames} frames in random reads of 1..{size} bytes are identical");
        }
    }

    [Theory]
    [InlineData("line", 16, (byte)'a')]
    [InlineData("delim:0D0A", 4, (byte)'\r')]
    [InlineData("delim:'aaaaaaab'", 4, (byte)'a')]
    [InlineData("json", 4, (byte)'"')]
    [InlineData("json", 4, (byte)'1')]
    public void Mebibytes_in_reads_of_one_byte_are_looked_at_once(string text, int mebibytes, byte filler)
    {
        var rule = Framing.Parse($"{text},max={mebibytes + 1}MiB");
        var bytes = new byte[mebibytes << 20];
        bytes.AsSpan().Fill(filler);
        if (filler == '"')
            bytes[0] = (byte)'[';
        var scan = default(FrameScan);
        for (var arrived = 1; arrived <= bytes.Length; arrived++)
        {
            var buffer = new ReadOnlySequence<byte>(bytes, 0, arrived);
            Assert.False(rule.TryRead(ref buffer, ref scan, out _));
        }
        Assert.True(scan.Begun);
        Assert.Equal(bytes.Length, scan.Looked);
    }

    [Fact]
    public void A_known_length_is_not_read_again_and_tells_what_is_missing()
    {
        var rule = Framing.Parse("len:4");
        var scan = default(FrameScan);
        byte[] bytes = [0, 0, 0, 3, 0x61, 0x62, 0x63];
        (bool Begun, long? Need)[] expected =
            [(false, null), (true, 4), (true, 4), (true, 4), (true, 7), (true, 7), (true, 7)];
        for (var arrived = 0; arrived < bytes.Length; arrived++)
        {
            var buffer = new ReadOnlySequence<byte>(bytes, 0, arrived);
            Assert.False(rule.TryRead(ref buffer, ref scan, out _));
            Assert.Equal(expected[arrived], (scan.Begun, scan.NeedBytes));
        }
        var whole = new ReadOnlySequence<byte>(bytes);
        Assert.True(rule.TryRead(ref whole, ref scan, out var payload));
        Assert.Equal("abc", Encoding.ASCII.GetString(payload));
        Assert.Equal((false, null), (scan.Begun, scan.NeedBytes));
        Row.Observed("N02", "the state between reads is FrameScan: none, 4 bytes wanted, 7 wanted, a frame, nothing");
    }

    private static byte[] Wire(Framing rule, Random random)
    {
        var output = new ArrayBufferWriter<byte>();
        for (var i = 0; i < Frames; i++)
        {
            var filler = new string('}', random.Next(9));
            rule.Write(Encoding.ASCII.GetBytes(rule.ToString() == "json" ? $"[{i},\"{filler}\"]" : i + filler), output);
        }
        return output.WrittenSpan.ToArray();
    }
}
