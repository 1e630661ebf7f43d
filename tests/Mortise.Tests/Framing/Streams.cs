using System.Buffers;
using Mortise.Testing;
using Xunit;

namespace Mortise.Tests.FramingRoom;

/// <summary>What one way of receiving a stream gave: frames, how it ended, and the bytes looked at per frame.</summary>
internal sealed record Received(List<byte[]> Frames, CloseReason End, FrameException? Failure)
{
    public string Text => string.Join(" ", Frames.Select(Convert.ToHexString)) + $" then {End.Name()}";
}

/// <summary>Streams and the ways they can be cut: the tests' stand-in for a network.</summary>
internal static class Streams
{
    /// <summary>
    /// Receives <paramref name="bytes"/> in the given reads, as a connection would, to the end of the stream.
    /// </summary>
    public static Received Receive(Framing rule, byte[] bytes, IEnumerable<int> readBytes,
        int segmentBytes = int.MaxValue)
    {
        var frames = new List<byte[]>();
        var scan = default(FrameScan);
        int consumed = 0, arrived = 0;
        try
        {
            foreach (var read in readBytes)
            {
                arrived = Math.Min(arrived + read, bytes.Length);
                var buffer = Segments(bytes.AsMemory(consumed, arrived - consumed), segmentBytes);
                while (rule.TryRead(ref buffer, ref scan, out var payload))
                    frames.Add(payload.ToArray());
                consumed = arrived - (int)buffer.Length;
            }
            Assert.Equal(bytes.Length, arrived);
            var left = Segments(bytes.AsMemory(consumed), segmentBytes);
            while (rule.TryReadLast(ref left, ref scan, out var payload))
                frames.Add(payload.ToArray());
            return new Received(frames, CloseReason.Eof, null);
        }
        catch (FrameException failure)
        {
            return new Received(frames, failure.CloseReason, failure);
        }
    }

    /// <summary>Everything in one read.</summary>
    public static Received Receive(Framing rule, params byte[] bytes) => Receive(rule, bytes, [bytes.Length]);

    /// <summary>Reads of 1 to <paramref name="most"/> bytes until <paramref name="total"/> are reached.</summary>
    public static IEnumerable<int> RandomReads(Random random, int total, int most)
    {
        for (var left = total; left > 0;)
        {
            var read = Math.Min(left, random.Next(1, most + 1));
            left -= read;
            yield return read;
        }
    }

    /// <summary>The bytes in segments of one size.</summary>
    private static ReadOnlySequence<byte> Segments(ReadOnlyMemory<byte> bytes, int segmentBytes) =>
        SegmentedBytes.Create(bytes, Enumerable.Repeat(segmentBytes, bytes.Length / segmentBytes));

    public static byte[] Written(Framing rule, params byte[][] payloads)
    {
        var output = new ArrayBufferWriter<byte>();
        foreach (var payload in payloads)
            rule.Write(payload, output);
        return output.WrittenSpan.ToArray();
    }
}
