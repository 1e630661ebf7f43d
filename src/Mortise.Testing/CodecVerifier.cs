using System.Buffers;

namespace Mortise.Testing;

/// <summary>A codec gave other messages than were sent; the message says which, for which cut, and the seed.</summary>
public sealed class CodecVerificationException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Holds a codec to what a network may do to it: bytes cut and joined anywhere, buffers in any segments, the stream
/// ending anywhere. It needs no sockets and no test framework.
/// </summary>
public static class CodecVerifier
{
    private const int CutsMax = 4096;
    private const int RandomRuns = 200;

    /// <summary>
    /// Encodes the messages one after the other and decodes them for every cut point of the first 4 KiB and for 200
    /// random cuts and segment layouts; then ends the stream after every byte of the first 4 KiB.
    /// </summary>
    /// <param name="codec">
    /// The codec; not one with the <c>raw</c> rule, which has no message boundaries to keep.
    /// </param>
    /// <param name="messages">
    /// At least one. Byte messages are compared by content, others by <see cref="IEquatable{T}"/>, others by their
    /// encoding.
    /// </param>
    /// <exception cref="CodecVerificationException">
    /// A message was lost, altered or invented, or an end not told.
    /// </exception>
    public static void VerifyEverySplit<T>(Codec<T> codec, params T[] messages) =>
        VerifyEverySplit(codec, messages, Random.Shared.Next());

    /// <summary>The same with a seed that a failure named, and with another comparison.</summary>
    /// <param name="codec">The codec.</param>
    /// <param name="messages">At least one message.</param>
    /// <param name="seed">Decides the random cuts.</param>
    /// <param name="same">Whether the second message is the first one, received; null for the rule above.</param>
    /// <exception cref="CodecVerificationException">
    /// A message was lost, altered or invented, or an end not told.
    /// </exception>
    public static void VerifyEverySplit<T>(Codec<T> codec, IReadOnlyList<T> messages, int seed,
        Func<T, T, bool>? same = null)
    {
        ArgumentNullException.ThrowIfNull(codec);
        ArgumentNullException.ThrowIfNull(messages);
        ArgumentOutOfRangeException.ThrowIfZero(messages.Count, nameof(messages));
        var run = new Verification<T>(codec, messages, same ?? ((a, b) => Same(codec, a, b)), seed);
        run.Reads("one read", [run.TotalBytes], []);
        var single = Enumerable.Repeat(1, run.TotalBytes);
        run.Reads("reads and segments of 1 byte", single, single);
        for (var cut = 1; cut <= Math.Min(CutsMax, run.TotalBytes); cut++)
        {
            run.Reads($"cut at byte {cut}", [cut, run.TotalBytes - cut], [cut / 2, cut - cut / 2]);
            run.EndAfter(cut - 1);
        }
        var random = new Random(seed);
        for (var i = 0; i < RandomRuns; i++)
            run.Reads($"random cuts {i}", Sizes(random, run.TotalBytes), Sizes(random, run.TotalBytes));
    }

    /// <summary>
    /// Sizes that add up to the total: mostly small ones, now and then one that takes several frames.
    /// </summary>
    private static List<int> Sizes(Random random, int total)
    {
        var most = random.Next(3) == 0 ? total : 1 + random.Next(1 + total / 8);
        var sizes = new List<int>();
        for (var left = total; left > 0; left -= sizes[^1])
            sizes.Add(Math.Min(left, random.Next(1, most + 1)));
        return sizes;
    }

    private static bool Same<T>(Codec<T> codec, T sent, T received)
    {
        if (sent is ReadOnlyMemory<byte> a && received is ReadOnlyMemory<byte> b)
            return a.Span.SequenceEqual(b.Span);
        if (sent is byte[] x && received is byte[] y)
            return x.AsSpan().SequenceEqual(y);
        if (sent is IEquatable<T> equatable)
            return equatable.Equals(received);
        return Payload(codec, sent).AsSpan().SequenceEqual(Payload(codec, received));
    }

    private static byte[] Payload<T>(Codec<T> codec, T message)
    {
        var payload = new ArrayBufferWriter<byte>();
        codec.Encode(message, payload);
        return payload.WrittenSpan.ToArray();
    }

    private sealed class Verification<T>
    {
        private readonly Codec<T> _codec;
        private readonly IReadOnlyList<T> _messages;
        private readonly Func<T, T, bool> _same;
        private readonly int _seed;
        private readonly byte[] _stream;
        private readonly List<int> _ends = [0];

        public Verification(Codec<T> codec, IReadOnlyList<T> messages, Func<T, T, bool> same, int seed)
        {
            (_codec, _messages, _same, _seed) = (codec, messages, same, seed);
            var output = new ArrayBufferWriter<byte>();
            foreach (var message in messages)
            {
                codec.Write(message, output);
                _ends.Add(output.WrittenCount);
            }
            _stream = output.WrittenSpan.ToArray();
        }

        public int TotalBytes => _stream.Length;

        /// <summary>Every message must come, once, in order, and nothing may be left.</summary>
        public void Reads(string how, IEnumerable<int> reads, IEnumerable<int> segments)
        {
            var (count, failure) = Receive(how, reads, segments, TotalBytes);
            if (failure is not null)
                throw Failed(how, $"after {count} messages: {failure.Message}", failure);
            if (count != _messages.Count)
                throw Failed(how, $"{count} of {_messages.Count} messages came");
        }

        /// <summary>
        /// Messages that had arrived must come, and bytes after them must be told as a truncated frame.
        /// </summary>
        public void EndAfter(int bytes)
        {
            var how = $"end of stream after byte {bytes}";
            var (count, failure) = Receive(how, [bytes], [bytes / 2], bytes);
            if (count + 1 < _ends.Count && _ends[count + 1] <= bytes)
                throw Failed(how, $"{count} messages came, but more had arrived", failure);
            if (failure is not null && failure.CloseReason != CloseReason.UnexpectedEof)
                throw Failed(how, $"not told as a truncated frame: {failure.Message}", failure);
            if (failure is null && bytes > _ends[count])
                throw Failed(how, $"{bytes - _ends[count]} bytes of a truncated frame were dropped in silence");
        }

        private (int Count, FrameException? Failure) Receive(string how, IEnumerable<int> reads,
            IEnumerable<int> segments, int endAt)
        {
            var scan = default(FrameScan);
            int consumed = 0, arrived = 0, count = 0;
            var layout = segments.ToList();
            try
            {
                foreach (var read in reads)
                {
                    arrived = Math.Min(arrived + read, endAt);
                    var buffer = Buffer(consumed, arrived, layout);
                    while (_codec.TryRead(ref buffer, ref scan, out var message))
                        Check(how, message, count++);
                    consumed = arrived - (int)buffer.Length;
                }
                var rest = Buffer(consumed, endAt, layout);
                while (_codec.TryReadLast(ref rest, ref scan, out var message))
                    Check(how, message, count++);
                return (count, null);
            }
            catch (FrameException failure)
            {
                return (count, failure);
            }
        }

        private ReadOnlySequence<byte> Buffer(int from, int to, List<int> layout) =>
            SegmentedBytes.Create(_stream.AsMemory(from, to - from), layout);

        private void Check(string how, T message, int index)
        {
            if (index >= _messages.Count)
                throw Failed(how, $"a message came that nobody sent: {Show(message)}");
            if (!_same(_messages[index], message))
                throw Failed(how, $"message {index} came as {Show(message)}, sent was {Show(_messages[index])}");
        }

        private CodecVerificationException Failed(string how, string what, Exception? inner = null) =>
            new($"{_codec.Framing}, {how} of {TotalBytes}: {what}; repeat with seed {_seed}", inner);

        private static string Show(T message)
        {
            var text = message is ReadOnlyMemory<byte> bytes ? Convert.ToHexString(bytes.Span) : $"{message}";
            return text.Length <= 80 ? text : text[..80] + "…";
        }
    }
}
