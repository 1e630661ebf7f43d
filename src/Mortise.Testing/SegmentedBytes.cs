using System.Buffers;

namespace Mortise.Testing;

/// <summary>Bytes in pieces, as a receive buffer holds them: what a decoder must be indifferent to.</summary>
public static class SegmentedBytes
{
    /// <summary>The bytes as a sequence whose segments have the given sizes; the last takes what is left.</summary>
    /// <param name="bytes">The content; the segments are slices of it.</param>
    /// <param name="segmentBytes">Sizes in bytes, used until the content ends; a size below 1 counts as 1.</param>
    /// <example>
    /// <code>var sequence = SegmentedBytes.Create(frame, 1, 3);      // 1 byte, 3 bytes, the rest</code>
    /// </example>
    public static ReadOnlySequence<byte> Create(ReadOnlyMemory<byte> bytes, params IEnumerable<int> segmentBytes)
    {
        ArgumentNullException.ThrowIfNull(segmentBytes);
        Segment? first = null, last = null;
        var left = bytes;
        foreach (var size in segmentBytes)
        {
            if (size >= left.Length)
                break;
            last = new Segment(left[..Math.Max(size, 1)], last);
            first ??= last;
            left = left[last.Memory.Length..];
        }
        if (first is null)
            return new ReadOnlySequence<byte>(bytes);
        last = new Segment(left, last);
        return new ReadOnlySequence<byte>(first, 0, last, left.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, Segment? before)
        {
            Memory = memory;
            if (before is null)
                return;
            RunningIndex = before.RunningIndex + before.Memory.Length;
            before.Next = this;
        }
    }
}
