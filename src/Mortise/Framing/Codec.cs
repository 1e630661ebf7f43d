using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json.Serialization.Metadata;

namespace Mortise;

/// <summary>
/// Messages of type <typeparamref name="T"/> on a stream: a <see cref="Framing"/> rule, and what a frame's payload
/// means. A codec holds no state of a connection: one object serves all of them, from any thread.
/// </summary>
/// <remarks>
/// A subclass writes <see cref="Decode"/> and <see cref="Encode"/> for payloads; frames are never its concern.
/// <see cref="Codec"/> has the ready-made ones.
/// </remarks>
/// <param name="framing">How payloads are cut out of the stream and put into it.</param>
public abstract class Codec<T>(Framing framing)
{
    /// <summary>The rule that cuts the stream into payloads.</summary>
    public Framing Framing { get; } = framing ?? throw new ArgumentNullException(nameof(framing));

    /// <summary>
    /// A message may refer to the payload's memory. Sessions that ask keep messages longer than that is valid, so they
    /// give such a codec a copy to decode. By default true where <typeparamref name="T"/> could: not for numbers and
    /// text. Override with false where messages own everything they hold.
    /// </summary>
    public virtual bool Borrows => typeof(T) != typeof(string) && RuntimeHelpers.IsReferenceOrContainsReferences<T>();

    /// <summary>
    /// Makes a message of a payload. The payload is borrowed: it is valid until the handler's task completes; copy
    /// what the message keeps longer.
    /// </summary>
    /// <exception cref="FrameException">The payload is no message (<see cref="CloseReason.FrameInvalid"/>).</exception>
    public abstract T Decode(in ReadOnlySequence<byte> frame);

    /// <summary>Writes the payload of a message, without any framing.</summary>
    /// <exception cref="FrameException">
    /// The message has no payload (<see cref="CloseReason.FrameInvalid"/>).
    /// </exception>
    public abstract void Encode(T message, IBufferWriter<byte> output);

    /// <summary>Writes a message as a whole frame; when it throws, nothing was written.</summary>
    /// <exception cref="FrameException">As <see cref="Encode"/> and <see cref="Framing.Write(ReadOnlySpan{byte},
    /// IBufferWriter{byte})"/>.</exception>
    public virtual void Write(T message, IBufferWriter<byte> output)
    {
        var payload = Framing.PayloadBuffer.Take();
        try
        {
            Encode(message, payload);
            Framing.Write(payload.Written, output);
        }
        finally
        {
            payload.Return();
        }
    }

    /// <summary>Takes the next message off the front of the buffer; see <see cref="Framing.TryRead"/>.</summary>
    /// <exception cref="FrameException">The bytes are no frame, or the frame no message.</exception>
    public bool TryRead(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out T message)
    {
        var whole = Framing.TryRead(ref buffer, ref scan, out var payload);
        message = whole ? Decode(payload) : default!;
        return whole;
    }

    /// <summary>The same at the end of the stream; see <see cref="Framing.TryReadLast"/>.</summary>
    /// <exception cref="FrameException">As <see cref="TryRead"/>, or the stream ended inside a frame.</exception>
    public bool TryReadLast(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out T message)
    {
        var whole = Framing.TryReadLast(ref buffer, ref scan, out var payload);
        message = whole ? Decode(payload) : default!;
        return whole;
    }
}

/// <summary>Ready-made codecs, and codecs from two functions.</summary>
public static class Codec
{
    /// <summary>
    /// Text lines: <c>\n</c> or <c>\r\n</c> ends one, <c>\n</c> is written. Bytes that are not UTF-8 are refused,
    /// never replaced; give an <paramref name="encoding"/> to decide otherwise (<see cref="Encoding.UTF8"/> replaces).
    /// </summary>
    /// <param name="lineBytesMax">The longest line in bytes, without its end; 1 MiB by default.</param>
    /// <param name="encoding">The encoding, or null for strict UTF-8.</param>
    /// <exception cref="InvalidSettingException">The maximum is out of range.</exception>
    public static Codec<string> Lines(long lineBytesMax = Framing.FrameBytesMaxDefault, Encoding? encoding = null)
    {
        var rule = Framing.Parse("line").WithMax(lineBytesMax);
        return encoding is null ? rule.Utf8() : rule.Text(encoding);
    }

    /// <summary>Payloads as bytes, cut by any rule.</summary>
    public static FrameCodec Frames(Framing framing) => new(framing);

    /// <summary>
    /// Payloads as bytes after a length field; <c>.Utf8()</c>, <c>.Text()</c> and <c>.Json()</c> go on from here.
    /// </summary>
    /// <param name="maxFrame">The largest payload in bytes; 1 MiB by default.</param>
    /// <param name="sizeBytes">Bytes of the length field, 1 to 8.</param>
    /// <param name="littleEndian">The lowest byte first; network order is the default.</param>
    /// <exception cref="InvalidSettingException">A number is out of range.</exception>
    /// <example>
    /// <code>var codec = Codec.LengthPrefixed(maxFrame: 64 * 1024).Json(ChatJson.Default.ChatMessage);</code>
    /// </example>
    public static FrameCodec LengthPrefixed(long maxFrame = Framing.FrameBytesMaxDefault, int sizeBytes = 4,
        bool littleEndian = false) =>
        new(Framing.Parse($"len:{sizeBytes}{(littleEndian ? "le" : "be")}").WithMax(maxFrame));

    /// <summary>
    /// A codec of two functions; see <see cref="Codec{T}.Decode"/> and <see cref="Codec{T}.Encode"/>.
    /// </summary>
    public static Codec<T> Create<T>(Framing framing, Func<ReadOnlySequence<byte>, T> decode,
        Action<T, IBufferWriter<byte>> encode)
    {
        ArgumentNullException.ThrowIfNull(decode);
        ArgumentNullException.ThrowIfNull(encode);
        return new FunctionCodec<T>(framing, decode, encode);
    }

    private sealed class FunctionCodec<T>(Framing framing, Func<ReadOnlySequence<byte>, T> decode,
        Action<T, IBufferWriter<byte>> encode) : Codec<T>(framing)
    {
        public override T Decode(in ReadOnlySequence<byte> frame) => decode(frame);

        public override void Encode(T message, IBufferWriter<byte> output) => encode(message, output);
    }
}

/// <content>From a rule to a codec.</content>
public abstract partial class Framing
{
    /// <summary>
    /// Payloads are UTF-8 text. Other bytes and lone surrogates are refused: no message is altered in silence.
    /// </summary>
    public Codec<string> Utf8() => new TextCodec(this, TextCodec.StrictUtf8);

    /// <summary>
    /// Payloads are text; bytes that are not valid are replaced or refused as the encoding's fallbacks say.
    /// </summary>
    public Codec<string> Text(Encoding encoding) => new TextCodec(this, encoding);

    /// <summary>Payloads are JSON values of <typeparamref name="T"/>.</summary>
    /// <param name="type">From a source-generated context: <c>ChatJson.Default.ChatMessage</c>.</param>
    public Codec<T> Json<T>(JsonTypeInfo<T> type) => new JsonCodec<T>(this, type);
}
