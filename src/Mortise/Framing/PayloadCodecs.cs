using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Mortise;

/// <summary>
/// Payloads as bytes. A message that arrived in one piece is a slice of the receive buffer, one in several pieces is
/// copied; either way it is borrowed: valid until the handler's task completes.
/// </summary>
/// <param name="framing">How payloads are cut out of the stream.</param>
public sealed class FrameCodec(Framing framing) : Codec<ReadOnlyMemory<byte>>(framing)
{
    /// <inheritdoc cref="Framing.Utf8"/>
    public Codec<string> Utf8() => Framing.Utf8();

    /// <inheritdoc cref="Framing.Text"/>
    public Codec<string> Text(Encoding encoding) => Framing.Text(encoding);

    /// <inheritdoc cref="Framing.Json{T}"/>
    public Codec<T> Json<T>(JsonTypeInfo<T> type) => Framing.Json(type);

    /// <inheritdoc/>
    public override ReadOnlyMemory<byte> Decode(in ReadOnlySequence<byte> frame) =>
        frame.IsSingleSegment ? frame.First : frame.ToArray();

    /// <inheritdoc/>
    public override void Encode(ReadOnlyMemory<byte> message, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        output.Write(message.Span);
    }

    /// <inheritdoc/>
    public override void Write(ReadOnlyMemory<byte> message, IBufferWriter<byte> output) =>
        Framing.Write(message.Span, output);
}

/// <content>What the payload of a rule may mean.</content>
public abstract partial class Framing
{
    /// <summary>Payloads as text in one encoding; a character split across reads is whole again here.</summary>
    private sealed class TextCodec(Framing framing, Encoding encoding) : Codec<string>(framing)
    {
        /// <summary>UTF-8 that refuses what it cannot read or write, and writes no byte order mark.</summary>
        public static readonly Encoding StrictUtf8 = new UTF8Encoding(false, true);

        private readonly Encoding _encoding = encoding ?? throw new ArgumentNullException(nameof(encoding));

        public override string Decode(in ReadOnlySequence<byte> frame)
        {
            if (frame.IsSingleSegment)
                return Decode(frame.FirstSpan);
            var bytes = ArrayPool<byte>.Shared.Rent((int)frame.Length);
            try
            {
                frame.CopyTo(bytes);
                return Decode(bytes.AsSpan(0, (int)frame.Length));
            }
            finally
            {
                ArrayPool<byte>.Shared.Return(bytes);
            }
        }

        public override void Encode(string message, IBufferWriter<byte> output)
        {
            try
            {
                _encoding.GetBytes(message, output);
            }
            catch (EncoderFallbackException failure)
            {
                throw new FrameException(CloseReason.FrameInvalid,
                    $"character {failure.Index} of the text to write has no bytes in {_encoding.WebName}",
                    "a surrogate without its pair, or an encoding without that character");
            }
        }

        private string Decode(ReadOnlySpan<byte> payload)
        {
            try
            {
                return _encoding.GetString(payload);
            }
            catch (DecoderFallbackException failure)
            {
                var bytes = Convert.ToHexString(failure.BytesUnknown ?? []);
                throw new FrameException(CloseReason.FrameInvalid,
                    $"byte {failure.Index} of the payload ({bytes}) is not valid {_encoding.WebName}",
                    "the peer uses another encoding? name it, or use a lenient one: Text(Encoding.UTF8) replaces");
            }
        }
    }

    /// <summary>Payloads as JSON of one type, by source-generated metadata.</summary>
    private sealed class JsonCodec<T>(Framing framing, JsonTypeInfo<T> type) : Codec<T>(framing)
    {
        private readonly JsonTypeInfo<T> _type = type ?? throw new ArgumentNullException(nameof(type));
        private Utf8JsonWriter? _idle;

        public override bool Borrows => false; // what it makes of JSON it makes new

        public override T Decode(in ReadOnlySequence<byte> frame)
        {
            var reader = new Utf8JsonReader(frame, new JsonReaderOptions
            {
                MaxDepth = _type.Options.MaxDepth,
                CommentHandling = _type.Options.ReadCommentHandling,
                AllowTrailingCommas = _type.Options.AllowTrailingCommas,
            });
            try
            {
                var message = JsonSerializer.Deserialize(ref reader, _type);
                reader.Read();      // A second value after the first is not valid: throws.
                return message ?? throw Invalid("null is no message", reader.BytesConsumed, null);
            }
            catch (JsonException failure)
            {
                throw Invalid(failure.Message, reader.BytesConsumed, failure.Path);
            }
        }

        public override void Encode(T message, IBufferWriter<byte> output)
        {
            var writer = Interlocked.Exchange(ref _idle, null);
            if (writer is null)
                writer = new Utf8JsonWriter(output, new() { Encoder = _type.Options.Encoder, SkipValidation = true });
            else
                writer.Reset(output);
            JsonSerializer.Serialize(writer, message, _type);
            writer.Flush();
            writer.Reset();
            _idle = writer;
        }

        private static FrameException Invalid(string reason, long position, string? path) => new(
            CloseReason.FrameInvalid,
            $"the payload is not a {typeof(T).Name} in JSON, near byte {position}: {reason}",
            path is null ? null : $"look at {path}");
    }
}

/// <content>Where a message is encoded before its frame is written.</content>
public abstract partial class Framing
{
    /// <summary>
    /// A growing buffer that each thread keeps for the next message: the length must be known before the frame's first
    /// byte is written, and a message that fails to encode must leave nothing in the output.
    /// </summary>
    internal sealed class PayloadBuffer : IBufferWriter<byte>
    {
        private const int KeptBytesMax = 64 * 1024;

        [ThreadStatic]
        private static PayloadBuffer? t_kept;

        private byte[] _bytes = [];
        private int _used;

        public ReadOnlySpan<byte> Written => _bytes.AsSpan(0, _used);

        /// <summary>
        /// Takes the thread's buffer, so that an encoder that writes other messages gets another one.
        /// </summary>
        public static PayloadBuffer Take()
        {
            var taken = t_kept ?? new PayloadBuffer();
            t_kept = null;
            return taken;
        }

        /// <summary>Gives the buffer back for the thread's next message, unless it grew large.</summary>
        public void Return()
        {
            _used = 0;
            if (_bytes.Length <= KeptBytesMax)
                t_kept = this;
        }

        public void Advance(int count)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(count);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - _used);
            _used += count;
        }

        public Memory<byte> GetMemory(int sizeHint = 0)
        {
            Reserve(sizeHint);
            return _bytes.AsMemory(_used);
        }

        public Span<byte> GetSpan(int sizeHint = 0)
        {
            Reserve(sizeHint);
            return _bytes.AsSpan(_used);
        }

        private void Reserve(int sizeHint)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(sizeHint);
            var least = Math.Max(sizeHint, 1);
            if (_bytes.Length - _used >= least)
                return;
            var wanted = Math.Max(Math.Max(256L, 2L * _bytes.Length), (long)_used + least);
            Array.Resize(ref _bytes, (int)Math.Min(Array.MaxLength, wanted));
        }
    }
}
