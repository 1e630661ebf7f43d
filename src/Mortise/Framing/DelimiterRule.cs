using System.Buffers;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Mortise;

/// <content>Frames that end with a byte string: lines, NUL-terminated records, several endings at once.</content>
public abstract partial class Framing
{
    /// <summary>
    /// The frame ends where the first delimiter is complete; where two end at the same byte (<c>\n</c> and
    /// <c>\r\n</c>) the longer one is taken off. So the cut never depends on how the bytes were segmented.
    /// </summary>
    private sealed class DelimiterRule : Framing
    {
        private readonly byte[][] _delimiters;
        private readonly bool _keep;
        private readonly string _text;
        private readonly DelimiterSearch _search;
        private readonly bool _isText;

        /// <param name="name">The rule's text without options; <c>line</c> and <c>line:crlf</c> are such rules.</param>
        /// <param name="delimiters">The first is the one that is written.</param>
        /// <param name="keep">Whether the delimiter stays at the end of the payload, both ways.</param>
        /// <param name="max">Largest payload as delivered; a kept delimiter counts.</param>
        public DelimiterRule(string name, byte[][] delimiters, bool keep, long max) : base(max)
        {
            _delimiters = delimiters;
            _keep = keep;
            _text = name;
            _search = new DelimiterSearch(delimiters);
            _isText = delimiters.All(d => d[^1] == '\n');
            if (delimiters.FirstOrDefault(d => !_search.CanEnd(d)) is { } dead)
                throw Refused(name, $"the delimiter {Convert.ToHexString(dead)} can never end a frame: another one "
                    + "is inside it and always comes first", "leave one of the two out");
            if (keep && max < delimiters.Min(d => d.Length))
                throw Refused(name, $"max={max} has no room for the delimiter that is kept", "raise max=");
        }

        public override Framing WithMax(long frameBytesMax) =>
            new DelimiterRule(_text, _delimiters, _keep, CheckedMax(ToString(), frameBytesMax));

        public override string ToString() => _text + (_keep ? ",keep" : "") + MaxText;

        private protected override bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut)
        {
            cut = default;
            foreach (var memory in scan.At == 0 ? buffer : buffer.Slice(scan.At))
            {
                var span = memory.Span;
                if (scan.At == 0 && _isText && span is [0x16, ..])
                    RefuseTlsHello(buffer);
                var end = _search.Find(span, ref scan.State);
                scan.At += end < 0 ? memory.Length : end;
                scan.Looked += end < 0 ? memory.Length : end;
                if (end < 0)
                    continue;
                var payload = _keep ? scan.At : scan.At - _search.EndBytes(scan.State);
                if (payload > FrameBytesMax)
                    throw Endless(payload, "delimiter", buffer);
                cut = new FrameCut(0, payload, scan.At);
                return true;
            }
            // The last bytes may be the begin of a delimiter: they do not count as payload yet.
            if (scan.At - (_keep ? 0 : _search.BegunBytes(scan.State)) > FrameBytesMax)
                throw Endless(scan.At, "delimiter", buffer);
            return false;
        }

        private protected override void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
        {
            var state = 0;
            var end = _search.Find(payload, ref state);
            if (end >= 0 && !(_keep && end == payload.Length))
                throw Invalid($"the payload to write contains the delimiter at byte {end - _search.EndBytes(state)}"
                    + " and would arrive as two frames", "escape it, or use a length prefix: len:4");
            if (_keep)
            {
                if (end < 0)
                    throw Invalid("the payload to write does not end with the delimiter, which this rule keeps",
                        $"end it with {Convert.ToHexString(_delimiters[0])}, or leave keep out of the rule");
                Put(output, payload, [], []);
                return;
            }
            foreach (var delimiter in _delimiters)
            {
                // "ab" with the delimiter "abab" would end two bytes early: then another delimiter must do.
                var after = state;
                var found = _search.Find(delimiter, ref after);
                if (found != delimiter.Length || _search.EndBytes(after) != delimiter.Length)
                    continue;
                Put(output, payload, [], delimiter);
                return;
            }
            throw Invalid("the last bytes of the payload and the delimiter together would end the frame early",
                "use a length prefix: len:4");
        }
    }

    /// <summary>
    /// An Aho-Corasick automaton over a few short delimiters. Its state is one number, so that a delimiter may be split
    /// across any reads and no byte is looked at twice.
    /// </summary>
    private sealed class DelimiterSearch
    {
        private readonly short[] _next;
        private readonly short[] _ends;
        private readonly short[] _depth;
        private readonly int _longest;

        /// <summary>One delimiter is a byte with which all end, as <c>\n</c> of <c>\n</c> and <c>\r\n</c>: then each
        /// of them ends where that byte is first, and it alone is looked for.</summary>
        private readonly bool _endsAtOneByte;

        private readonly MarkBytes _marks;

        public DelimiterSearch(byte[][] delimiters)
        {
            var states = delimiters.Sum(d => d.Length) + 1;
            _next = new short[states * 256];
            _ends = new short[states];
            _depth = new short[states];
            _longest = delimiters.Max(d => d.Length);
            var ends = delimiters.Select(d => d[^1]).Distinct().ToArray();
            _endsAtOneByte = ends.Length == 1 && delimiters.Any(d => d.Length == 1);
            _marks = new MarkBytes(_endsAtOneByte ? ends : delimiters.Select(d => d[0]));
            short used = 1;
            foreach (var delimiter in delimiters)
            {
                var state = 0;
                foreach (var b in delimiter)
                {
                    ref var child = ref _next[(state << 8) | b];
                    if (child == 0)
                    {
                        _depth[used] = (short)(_depth[state] + 1);
                        child = used++;
                    }
                    state = child;
                }
                _ends[state] = (short)delimiter.Length;
            }
            LinkFailures(states);
        }

        /// <summary>The length of the delimiter that is complete in this state, or 0.</summary>
        public int EndBytes(int state) => _ends[state];

        /// <summary>How many of the last bytes may be the begin of a delimiter.</summary>
        public int BegunBytes(int state) => _depth[state];

        /// <summary>The index after the first complete delimiter, or -1 when the span holds no end.</summary>
        public int Find(ReadOnlySpan<byte> span, ref int state)
        {
            if (!_endsAtOneByte)
                return Step(span, 0, ref state);
            var last = _marks.Find(span);
            var known = (last < 0 ? span.Length : last) - _longest;
            if (known > 0)
                state = 0; // what lies so far back is part of no delimiter that is still open
            return Step(span, Math.Max(known, 0), ref state);
        }

        private int Step(ReadOnlySpan<byte> span, int i, ref int state)
        {
            while (i < span.Length)
            {
                if (state == 0 && !_endsAtOneByte)
                {
                    var skipped = _marks.Find(span[i..]);
                    if (skipped < 0)
                        return -1;
                    i += skipped;
                }
                state = _next[(state << 8) | span[i++]];
                if (_ends[state] != 0)
                    return i;
            }
            return -1;
        }

        /// <summary>Whether no other delimiter ends earlier inside this one.</summary>
        public bool CanEnd(byte[] delimiter)
        {
            var state = 0;
            return Find(delimiter, ref state) == delimiter.Length && _ends[state] == delimiter.Length;
        }

        /// <summary>
        /// Turns the trie into an automaton: every missing step goes where the longest proper suffix goes.
        /// </summary>
        private void LinkFailures(int states)
        {
            var fail = new short[states];
            var queue = new Queue<short>([0]);
            while (queue.TryDequeue(out var state))
            {
                for (var b = 0; b < 256; b++)
                {
                    ref var step = ref _next[(state << 8) | b];
                    var suffixStep = state == 0 ? (short)0 : _next[(fail[state] << 8) | b];
                    if (step == 0)
                    {
                        step = suffixStep;
                        continue;
                    }
                    fail[step] = suffixStep;
                    if (_ends[step] == 0)
                        _ends[step] = _ends[suffixStep];
                    queue.Enqueue(step);
                }
            }
        }
    }

    /// <summary>
    /// The bytes that show where a delimiter may be, and the search for the next of them. Long frames are looked
    /// through 128 bytes at a time with a single question, which takes a third of the time of the platform's search,
    /// with one for each vector. Short ones are left to the platform.
    /// </summary>
    private sealed class MarkBytes
    {
        private const int StrideVectors = 4;
        private const int LongBytesMin = 512;

        private readonly SearchValues<byte> _any;
        private readonly byte _one;
        private readonly byte _other;
        private readonly bool _canSkip;

        public MarkBytes(IEnumerable<byte> bytes)
        {
            byte[] distinct = [.. bytes.Distinct()];
            _any = SearchValues.Create(distinct);
            _one = distinct[0];
            _other = distinct[^1];
            _canSkip = distinct.Length <= 2 && Vector256.IsHardwareAccelerated;
        }

        /// <summary>The index of the first of these bytes, or -1.</summary>
        public int Find(ReadOnlySpan<byte> span)
        {
            var skipped = span.Length >= LongBytesMin && _canSkip ? Skip(span) : 0;
            var found = span[skipped..].IndexOfAny(_any);
            return found < 0 ? -1 : skipped + found;
        }

        /// <summary>How many bytes at the front hold none of them for certain.</summary>
        private int Skip(ReadOnlySpan<byte> span)
        {
            var vectors = MemoryMarshal.Cast<byte, Vector256<byte>>(span);
            var one = Vector256.Create(_one);
            var other = Vector256.Create(_other);
            var at = 0;
            while (vectors.Length - at >= StrideVectors)
            {
                var four = vectors.Slice(at, StrideVectors);
                var hits = Vector256.Equals(four[0], one) | Vector256.Equals(four[1], one)
                    | Vector256.Equals(four[2], one) | Vector256.Equals(four[3], one);
                if (_one != _other)
                    hits |= Vector256.Equals(four[0], other) | Vector256.Equals(four[1], other)
                        | Vector256.Equals(four[2], other) | Vector256.Equals(four[3], other);
                if (hits != Vector256<byte>.Zero)
                    break;
                at += StrideVectors;
            }
            return at * Vector256<byte>.Count;
        }
    }
}
