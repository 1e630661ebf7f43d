using System.Buffers;

namespace Mortise;

/// <content>The rules without a search: whatever arrived, blocks of one size, and a function of the user's.</content>
public abstract partial class Framing
{
    /// <summary>
    /// Whatever has arrived is one frame. It is the stream itself: the peer's writes are not seen in it.
    /// </summary>
    private sealed class RawRule(long max) : Framing(max)
    {
        public override Framing WithMax(long frameBytesMax) => new RawRule(CheckedMax(ToString(), frameBytesMax));

        public override string ToString() => "raw" + MaxText;

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            var bytes = Math.Min(buffer.Length, FrameBytesMax);
            cut = new FrameCut(0, bytes, bytes);
            return true;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output) =>
            Put(output, payload, [], []);
    }

    /// <summary>
    /// Blocks of one size. With a pad byte shorter payloads are filled up and the filling is
    /// taken off again, as <c>send(…, sizeof(buffer))</c> programs do; without one every payload has the exact size.
    /// </summary>
    private sealed class FixedRule(long size, int? pad) : Framing(size)
    {
        public override Framing WithMax(long frameBytesMax) => CheckedMax(ToString(), frameBytesMax) >= FrameBytesMax
            ? this
            : throw Refused(ToString(), $"its blocks of {FrameBytesMax} bytes exceed the maximum of {frameBytesMax}",
                "raise the maximum or make the blocks smaller");

        public override string ToString() => pad is { } b ? $"fixed:{FrameBytesMax},pad={b}" : $"fixed:{FrameBytesMax}";

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            scan.Need = FrameBytesMax;
            cut = default;
            if (buffer.Length < FrameBytesMax)
                return false;
            var payload = pad is { } b ? LengthWithout((byte)b, buffer.Slice(0, FrameBytesMax)) : FrameBytesMax;
            cut = new FrameCut(0, payload, FrameBytesMax);
            return true;
        }

        private static long LengthWithout(byte pad, in ReadOnlySequence<byte> block)
        {
            long seen = 0, length = 0;
            foreach (var memory in block)
            {
                var last = memory.Span.LastIndexOfAnyExcept(pad);
                length = last < 0 ? length : seen + last + 1;
                seen += memory.Length;
            }
            return length;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            if (pad is not { } filler)
            {
                if (payload.Length != FrameBytesMax)
                    throw Invalid($"a payload of {payload.Length} bytes to write into blocks of {FrameBytesMax}",
                        $"write exactly {FrameBytesMax} bytes, or fill them up: fixed:{FrameBytesMax},pad=0");
                Put(output, payload, [], []);
                return;
            }
            if (payload.Length > 0 && payload[^1] == filler)
                throw Invalid($"the payload ends with the pad byte 0x{filler:X2} and would come back without it",
                    $"pad with a byte that no message ends with, or leave pad= out and write {FrameBytesMax} bytes");
            Put(output, payload, [], []);
            for (var left = (int)FrameBytesMax - payload.Length; left > 0;)
            {
                var span = output.GetSpan();
                var filled = Math.Min(left, span.Length);
                span[..filled].Fill((byte)filler);
                output.Advance(filled);
                left -= filled;
            }
        }
    }

    /// <summary>The user's function says where a frame ends; both directions trust it and nothing else.</summary>
    private sealed class CustomRule(string name, MeasureFrame measure, long max) : Framing(max)
    {
        private readonly string _name = name;
        private readonly MeasureFrame _measure = measure;

        public override Framing WithMax(long frameBytesMax) =>
            new CustomRule(_name, _measure, CheckedMax(ToString(), frameBytesMax));

        public override string ToString() => $"custom:{_name}" + MaxText;

        public override bool Equals(Framing? other) =>
            base.Equals(other) && other is CustomRule custom && custom._measure == _measure;

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            cut = default;
            if (scan.Need == 0)
            {
                var length = _measure(buffer);
                if (length.Reason is { } reason)
                    throw Invalid($"{reason} (rule custom:{_name})", Stranger(buffer));
                if (length.FrameBytes > FrameBytesMax)
                    throw TooLong((ulong)length.FrameBytes, $"{length.FrameBytes}",
                        Stranger(buffer) ?? "raise max= if such frames are meant");
                if (length.FrameBytes == 0 && buffer.Length > FrameBytesMax)
                    throw Endless(buffer.Length, "length", buffer);
                scan.Need = length.FrameBytes;
            }
            cut = new FrameCut(0, scan.Need, scan.Need);
            return scan.Need > 0 && buffer.Length >= scan.Need;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            var length = payload.IsEmpty
                ? FrameLength.NeedMore
                : _measure(new ReadOnlySequence<byte>(payload.ToArray()));
            if (length.FrameBytes != payload.Length)
                throw Invalid(
                    $"the payload to write is not one whole frame of custom:{_name}: it has {payload.Length} bytes, "
                    + (length.Reason ?? $"its header says {length.FrameBytes}"),
                    "a custom rule delivers and writes frames with their header");
            Put(output, payload, [], []);
        }
    }
}
