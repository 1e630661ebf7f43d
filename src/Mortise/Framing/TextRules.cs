using System.Buffers;

namespace Mortise;

/// <content>Frames that are written in text: netstrings and JSON values.</content>
public abstract partial class Framing
{
    /// <summary>A netstring: <c>5:hello,</c>. Digits without leading zeros, a colon, the payload, a comma.</summary>
    private sealed class NetstringRule(long max) : Framing(max)
    {
        private const int HeaderBytesMax = 11;

        public override Framing WithMax(long frameBytesMax) =>
            new NetstringRule(CheckedMax(ToString(), frameBytesMax));

        public override string ToString() => "netstring" + MaxText;

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            cut = default;
            Span<byte> copy = stackalloc byte[HeaderBytesMax];
            var start = buffer.Slice(0, Math.Min(HeaderBytesMax, buffer.Length));
            start.CopyTo(copy);
            var colon = ReadLength(copy[..(int)start.Length], out var payload);
            if (colon < 0)
            {
                scan.Need = buffer.Length + 1;
                return false;
            }
            scan.Need = colon + 1 + payload + 1;
            if (buffer.Length < scan.Need)
                return false;
            var last = buffer.Slice(scan.Need - 1, 1).FirstSpan[0];
            if (last != ',')
                throw Invalid($"byte {scan.Need - 1} of the netstring is 0x{last:X2}, not the closing comma",
                    "the announced length is not the payload's length in bytes (characters were counted?)");
            cut = new FrameCut(colon + 1, payload, scan.Need);
            return true;
        }

        /// <summary>The index of the colon, or -1 when it has not come.</summary>
        private int ReadLength(ReadOnlySpan<byte> head, out long length)
        {
            length = 0;
            for (var i = 0; i < head.Length; i++)
            {
                if (head[i] == ':' && i > 0)
                    return i;
                if (head[i] is < (byte)'0' or > (byte)'9')
                    throw Invalid($"byte {i} of a netstring is 0x{head[i]:X2}, not a digit", Stranger(head));
                if (i == 1 && head[0] == '0')
                    throw Invalid("the netstring's length begins with 0", "senders must write no leading zeros");
                length = length * 10 + head[i] - '0';
                if (length > FrameBytesMax)
                    throw TooLong((ulong)length, $"{length}", "raise max= if such frames are meant");
            }
            return -1;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            Span<byte> head = stackalloc byte[HeaderBytesMax];
            System.Buffers.Text.Utf8Formatter.TryFormat(payload.Length, head, out var digits);
            head[digits++] = (byte)':';
            Put(output, head[..digits], payload, ","u8);
        }
    }

    /// <summary>
    /// One JSON value is one frame; blanks may stand between values, and a line feed is written after each. The scanner
    /// only finds the end: brackets match, strings and escapes are respected; whether the rest is JSON, the codec says.
    /// A number or word ends with the byte after it: at the end of the stream 12 may be the begin of 123 (RFC 7464).
    /// </summary>
    private sealed class JsonRule(long max) : Framing(max)
    {
        private const int DepthMax = 64;

        // Modes of FrameScan.State.
        private const int Start = 0, Container = 1, Quoting = 2, Escape = 3, Word = 4, Done = 5;

        private static readonly SearchValues<byte> Structure = SearchValues.Create("{}[]\""u8);
        private static readonly SearchValues<byte> Blank = SearchValues.Create(" \t\r\n"u8);
        private static readonly SearchValues<byte> WordBytes = SearchValues.Create(
            "+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"u8);

        public override Framing WithMax(long frameBytesMax) => new JsonRule(CheckedMax(ToString(), frameBytesMax));

        public override string ToString() => "json" + MaxText;

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            cut = default;
            if (scan.State == Start)
                buffer = SkipBlanks(buffer);
            // One byte beyond the maximum decides; looking no further makes the answer the same for every segmentation.
            var seen = Math.Min(buffer.Length, FrameBytesMax + 1);
            foreach (var memory in buffer.Slice(scan.At, seen - scan.At))
            {
                Step(memory.Span, ref scan);
                if (scan.State == Done)
                    break;
            }
            if (scan.At > FrameBytesMax)
                throw Endless(scan.At, "end of the JSON value", buffer);
            cut = new FrameCut(0, scan.At, scan.At);
            return scan.State == Done;
        }

        private static ReadOnlySequence<byte> SkipBlanks(ReadOnlySequence<byte> buffer)
        {
            while (!buffer.IsEmpty)
            {
                var first = buffer.FirstSpan;
                var blanks = first.IndexOfAnyExcept(Blank);
                if (blanks >= 0)
                    return buffer.Slice(blanks);
                buffer = buffer.Slice(first.Length);
            }
            return buffer;
        }

        /// <summary>Looks at a piece of one value until its end; what it looked at is added to the scan.</summary>
        private void Step(ReadOnlySpan<byte> span, ref FrameScan scan)
        {
            var i = 0;
            while (i < span.Length && scan.State != Done)
            {
                var rest = span[i..];
                var skip = scan.State switch
                {
                    Container => rest.IndexOfAny(Structure),
                    Quoting => rest.IndexOfAny((byte)'"', (byte)'\\'),
                    Word => rest.IndexOfAnyExcept(WordBytes),
                    _ => 0,
                };
                if (skip < 0)
                {
                    i = span.Length;
                    break;
                }
                i += skip;
                if (scan.State == Word)
                    scan.State = Done;
                else
                    Take(span, i++, ref scan);
            }
            scan.At += i;
            scan.Looked += i;
        }

        /// <summary>Moves the scanner over one byte that matters.</summary>
        private void Take(ReadOnlySpan<byte> span, int i, ref FrameScan scan)
        {
            var b = span[i];
            switch (scan.State)
            {
                case Escape:
                    scan.State = Quoting;
                    return;
                case Quoting when b == '\\':
                    scan.State = Escape;
                    return;
                case Quoting:
                    scan.State = scan.Depth == 0 ? Done : Container;
                    return;
            }
            switch (b)
            {
                case (byte)'"':
                    scan.State = Quoting;
                    return;
                case (byte)'{' or (byte)'[':
                    if (++scan.Depth > DepthMax)
                        throw Invalid($"JSON nested deeper than {DepthMax}", "flatten the message");
                    scan.Nest = (scan.Nest << 1) | (b == '{' ? 1UL : 0);
                    scan.State = Container;
                    return;
                case (byte)'}' or (byte)']' when scan.State == Container:
                    if ((scan.Nest & 1) != (b == '}' ? 1UL : 0))
                        throw Invalid($"byte {scan.At + i} of the JSON value is '{(char)b}' and closes nothing open");
                    scan.Nest >>= 1;
                    scan.State = --scan.Depth == 0 ? Done : Container;
                    return;
            }
            if (!WordBytes.Contains(b) || b is >= (byte)'A' and <= (byte)'Z' or (byte)'+' or (byte)'.')
                throw Invalid($"0x{b:X2} begins no JSON value",
                    Stranger(span[i..]) ?? (b == 0xEF ? "leave out the byte order mark" : "the peer speaks no JSON?"));
            scan.State = Word;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            var scan = default(FrameScan);
            Step(payload, ref scan);
            if (scan.At != payload.Length || scan.State is not (Done or Word))
                throw Invalid(scan.State is Done or Word
                    ? $"the JSON value to write ends at byte {scan.At}, the payload has {payload.Length}"
                    : "the payload to write is not a whole JSON value", "write one value, without blanks around it");
            Put(output, payload, [], "\n"u8);
        }
    }
}
