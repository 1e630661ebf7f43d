using System.Buffers;

namespace Mortise;

/// <content>Frames that begin with their length.</content>
public abstract partial class Framing
{
    /// <summary>
    /// <code>
    /// | off bytes | length field | adj bytes (if positive) | the rest     |
    /// |&lt;------- header -------&gt;|&lt;--------- body = length + adj --------&gt;|
    /// |&lt;- strip bytes -&gt;|&lt;------------------- payload ------------------&gt;|
    /// </code>
    /// Both directions are this picture. Writing fills the length field in, and the stripped bytes before it with
    /// zeros; where the payload holds the field, its bytes there must be zero or right.
    /// </summary>
    private sealed class LengthRule : Framing
    {
        public const int OffMax = 255;

        private readonly LengthField _field;
        private readonly int _off;
        private readonly long _adj;
        private readonly bool _stripAll;
        private readonly int _strip;
        private readonly string _text;

        /// <param name="field">How the length is written.</param>
        /// <param name="off">Bytes before the length field, 0 to 255.</param>
        /// <param name="adj">Body bytes minus the value of the field.</param>
        /// <param name="strip">
        /// Header bytes that are not delivered; null is the default: the header when it is nothing but the field.
        /// </param>
        /// <param name="max">Largest payload as delivered.</param>
        public LengthRule(LengthField field, int off, long adj, int? strip, long max)
            : base(Math.Min(max, Capacity(field, off, adj, strip)))
        {
            _field = field;
            _off = off;
            _adj = adj;
            _stripAll = strip is null && off == 0;
            _strip = _stripAll ? field.Size : strip ?? 0;
            _text = Canonical();
        }

        private protected override string PortKind => "length-prefixed";

        public override Framing WithMax(long frameBytesMax)
        {
            var max = CheckedMax(ToString(), frameBytesMax);
            return new LengthRule(_field, _off, _adj, _stripAll ? null : _strip, max).Possible();
        }

        public override string ToString() => _text;

        /// <summary>
        /// Refuses a rule that no frame could follow; the reasons are those of a person who reads it.
        /// </summary>
        public LengthRule Possible()
        {
            var header = _off + _field.Size;
            if (_strip > header)
                throw Refused(_text, $"strip={_strip} takes off more than the header's {header} bytes, and body bytes "
                    + "taken off could not be written back", $"strip={header}, and let the codec skip the rest");
            if (!_field.IsFixed && _strip != 0 && !_stripAll)
                throw Refused(_text, $"strip={_strip} cannot be counted where the length field has no fixed size",
                    "strip=0 keeps the whole header");
            if (FrameBytesMax < 1)
                throw Refused(_text, $"adj={_adj} makes every frame negative or empty: the field holds at most "
                    + $"{_field.ValueMax}", $"adj=-{header} if the length counts the header: incl");
            var least = header - _strip + Math.Max(0, _adj);
            if (least > FrameBytesMax)
                throw Refused(_text, $"every payload has at least {least} bytes of header, max is {FrameBytesMax}",
                    $"max={least} or more");
            return this;
        }

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            if (buffer.IsSingleSegment || buffer.FirstSpan.Length >= _off + _field.Size)
                return MeasureHead(buffer.FirstSpan, buffer.Length, ref scan, out cut);
            Span<byte> copy = stackalloc byte[OffMax + LengthField.SizeMax];
            var start = buffer.Slice(0, Math.Min(_off + _field.Size, buffer.Length));
            start.CopyTo(copy);
            return MeasureHead(copy[..(int)start.Length], buffer.Length, ref scan, out cut);
        }

        private bool MeasureHead(ReadOnlySpan<byte> head, long haveBytes, ref FrameScan scan, out FrameCut cut)
        {
            cut = default;
            if (!TryHeader(head, ref scan.Need, out var value, out var header))
                return false;
            cut = Cut(value, header, head);
            scan.Need = cut.Total;
            return haveBytes >= cut.Total;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            if (_stripAll)
            {
                Span<byte> field = stackalloc byte[LengthField.SizeMax];
                Put(output, field[.._field.Write(FieldValue(payload.Length), field)], payload, []);
            }
            else if (_field.IsFixed)
                WriteWithHeader(payload, output);
            else
                WriteWhole(payload, output);
        }

        private void WriteWithHeader(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            var header = _off + _field.Size;
            var kept = header - _strip;
            if (payload.Length < kept)
                throw Invalid($"a payload of {payload.Length} bytes to write, but this rule keeps {kept} bytes of the "
                    + "header in it", $"begin it with those bytes (the length is filled in), or strip={header}");
            Span<byte> head = stackalloc byte[OffMax + LengthField.SizeMax];
            head = head[..header];
            head[.._strip].Clear();
            payload[..kept].CopyTo(head[_strip..]);
            var value = FieldValue((long)_strip + payload.Length - header);
            _field.Write(value, head[_off..]);
            var given = payload[Math.Max(0, _off - _strip)..kept];
            if (given.IndexOfAnyExcept((byte)0) >= 0 && !given.SequenceEqual(head[Math.Max(_off, _strip)..]))
                throw Invalid($"the length field in the payload to write is not {value}, the frame's length field",
                    "leave its bytes zero and they are filled in");
            Put(output, head, payload[kept..], []);
        }

        /// <summary>A field of varying size is already in a payload that keeps its header; it must be right.</summary>
        private void WriteWhole(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            long need = 0;
            var whole = TryHeader(payload, ref need, out var value, out var header);
            if (!whole || Cut(value, header, payload).Total != payload.Length)
                throw Invalid($"the payload to write is not one whole frame of {_text}: it has {payload.Length} bytes"
                    + (whole ? $", its header says {Cut(value, header, payload).Total}" : " and no whole header"),
                    "this rule delivers and writes frames with their header");
            Put(output, payload, [], []);
        }

        private ulong FieldValue(long bodyBytes)
        {
            var value = bodyBytes - _adj;
            if (value < 0)
                throw Invalid($"the payload to write is too short: its length field would be {value}",
                    $"adj={_adj} asks for at least {_adj} bytes after the length field");
            return (ulong)value;
        }

        private bool TryHeader(ReadOnlySpan<byte> head, ref long need, out ulong value, out int header)
        {
            (value, header) = (0, 0);
            if (head.Length < _off + _field.SizeMin)
            {
                need = _off + _field.SizeMin;
                return false;
            }
            var size = _field.Read(head[_off..], out value);
            header = _off + size;
            if (size == 0)
                need = head.Length + 1;
            return size > 0;
        }

        private FrameCut Cut(ulong value, int header, ReadOnlySpan<byte> head)
        {
            var strip = _stripAll ? header : _strip;
            var payload = (Int128)value + _adj + header - strip;
            if (payload + strip < header)
                throw Invalid($"the length field says {value}, less than the {-_adj} bytes it must count",
                    _adj == -header ? "the peer does not count the header? then leave incl out" : Stranger(head));
            if (payload > FrameBytesMax)
                throw TooLong(value, _field.Text(value), Cause(head, value));
            return new FrameCut(strip, (long)payload, (long)payload + strip);
        }

        /// <summary>
        /// Who sends such a length: another protocol, the other byte order, a negative number, a text.
        /// </summary>
        private string Cause(ReadOnlySpan<byte> head, ulong value)
        {
            if (Stranger(head) is { } stranger)
                return stranger;
            var field = head.Slice(_off, Math.Min(_field.Size, head.Length - _off));
            if (_field.IsFixed && _field.Size > 1 && field.IndexOfAnyExcept((byte)0xFF) < 0)
                return "this is -1 as a signed number: an error code sent as a length?";
            if (_field.Swapped(value) is { } swapped
                && (Int128)swapped + _adj >= 0 && (Int128)swapped + _adj <= FrameBytesMax)
                return $"in the other byte order it is {swapped}: wrong byte order? try {_field.OtherOrder}";
            if (_field.Size >= 3 && field.IndexOfAnyExceptInRange((byte)0x20, (byte)0x7E) < 0)
                return $"these bytes are {Quoted(field)}: a text protocol on a length-prefixed port?";
            return "raise max= on this side if such frames are meant";
        }

        /// <summary>The largest payload that the length field can announce.</summary>
        private static long Capacity(LengthField field, int off, long adj, int? strip)
        {
            var kept = strip is null && off == 0 ? 0 : off + field.Size - (strip ?? 0);
            return (long)Int128.Clamp((Int128)field.ValueMax + adj + kept, 0, long.MaxValue);
        }

        private string Canonical()
        {
            var header = _off + _field.Size;
            var max = Math.Min(FrameBytesMaxDefault, Capacity(_field, _off, _adj, _stripAll ? null : _strip));
            return _field.Name
                + (_off > 0 ? $",off={_off}" : "")
                + (_field.IsFixed && _adj == -header ? ",incl" : _adj != 0 ? $",adj={_adj}" : "")
                + (_strip != (_off == 0 ? _field.Size : 0) ? $",strip={_strip}" : "")
                + (FrameBytesMax == max ? "" : $",max={FrameBytesMax}");
        }
    }
}
