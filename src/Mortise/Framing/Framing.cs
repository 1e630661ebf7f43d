using System.Buffers;

namespace Mortise;

/// <summary>
/// Measures the frame that begins at the first byte of <paramref name="head"/>; looks at its header only.
/// </summary>
public delegate FrameLength MeasureFrame(in ReadOnlySequence<byte> head);

/// <summary>
/// A rule that cuts a stream of bytes into frames and, the other way, makes a frame of a payload. It is immutable,
/// thread-safe, and does no I/O; what it has to remember between reads is in <see cref="FrameScan"/>.
/// </summary>
/// <remarks>
/// <para>One rule serves both directions: <c>TryRead</c> of what <c>Write</c> wrote gives the same payload, and
/// <c>Write</c> accepts every payload that <c>TryRead</c> delivered.</para>
/// <para>The rules are nested here, one per file, and closed: a wire format of your own is a
/// <see cref="Custom"/> rule. See <see cref="Parse"/> for their text.</para>
/// </remarks>
/// <example><code>
/// var rule = Framing.Parse("len:4,max=64KiB");
/// rule.Write("hello"u8, output);                       // 00 00 00 05 68 65 6C 6C 6F
/// while (rule.TryRead(ref buffer, ref scan, out var payload)) Handle(payload);
/// </code></example>
public abstract partial class Framing : IEquatable<Framing>
{
    /// <summary>The largest payload where a rule does not say another: 1 MiB.</summary>
    public const long FrameBytesMaxDefault = 1024 * 1024;

    private Framing(long frameBytesMax) => FrameBytesMax = frameBytesMax;

    /// <summary>
    /// The largest payload in bytes, as it is delivered (1 to 2,147,483,591); 1 MiB unless the rule says otherwise.
    /// Never more than the rule's length field can announce.
    /// </summary>
    public long FrameBytesMax { get; }

    /// <summary>
    /// A rule for a wire format of your own: <paramref name="measure"/> reads the header, Mortise does the rest.
    /// Frames are delivered whole, header included, and written as they are after the same function measured them.
    /// </summary>
    /// <param name="name">
    /// How the rule calls itself in messages; <see cref="ToString"/> gives <c>custom:NAME</c>.
    /// </param>
    /// <param name="measure">Called when bytes have arrived, until it tells a length; keep it free of state.</param>
    /// <param name="frameBytesMax">The largest frame in bytes, header included.</param>
    /// <exception cref="InvalidSettingException">The maximum is out of range.</exception>
    public static Framing Custom(string name, MeasureFrame measure, long frameBytesMax = FrameBytesMaxDefault)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(measure);
        return new CustomRule(name, measure, CheckedMax($"custom:{name}", frameBytesMax));
    }

    /// <summary>The same rule with another largest payload, in bytes.</summary>
    /// <exception cref="InvalidSettingException">The rule cannot work with that maximum.</exception>
    public abstract Framing WithMax(long frameBytesMax);

    /// <summary>
    /// Takes the next frame off the front of <paramref name="buffer"/> and gives its payload, or returns false when
    /// more bytes must arrive. Bytes that <paramref name="buffer"/> no longer holds are consumed, also when the
    /// answer is false (JSON leaves out the blanks between values); the next call must begin with what is left.
    /// </summary>
    /// <param name="buffer">What has arrived and was not consumed; it begins at the frame that is arriving.</param>
    /// <param name="scan">The connection's state; <c>default</c> for the first call.</param>
    /// <param name="payload">A slice of the buffer: borrowed, and valid only as long as the buffer is.</param>
    /// <exception cref="FrameException">
    /// <see cref="CloseReason.FrameTooLong"/> or <see cref="CloseReason.FrameInvalid"/>. The stream has no frames
    /// after that: close the connection.
    /// </exception>
    public bool TryRead(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out ReadOnlySequence<byte> payload)
    {
        if (buffer.IsEmpty || buffer.Length < scan.Need || !Measure(ref buffer, ref scan, out var cut))
        {
            scan.Begun = !buffer.IsEmpty;
            payload = default;
            return false;
        }
        payload = buffer.Slice(cut.Start, cut.Payload);
        buffer = buffer.Slice(cut.Total);
        scan = default;
        return true;
    }

    /// <summary>
    /// The same as <see cref="TryRead"/> at the end of the stream: call it until it returns false. What is left must
    /// be whole frames; a frame that the stream's end cut off is an error, never dropped in silence.
    /// </summary>
    /// <exception cref="FrameException">
    /// As in <see cref="TryRead"/>, or <see cref="CloseReason.UnexpectedEof"/> with the bytes that had arrived and
    /// that were needed.
    /// </exception>
    public bool TryReadLast(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out ReadOnlySequence<byte> payload)
    {
        if (TryRead(ref buffer, ref scan, out payload))
            return true;
        return scan.Begun ? throw Truncated(buffer, scan) : false;
    }

    /// <summary>
    /// Makes a frame of <paramref name="payload"/> and writes it; nothing is written when it is refused.
    /// </summary>
    /// <exception cref="FrameException">
    /// The payload is longer than <see cref="FrameBytesMax"/> (<see cref="CloseReason.FrameTooLong"/>), or the other
    /// side would not get it back (<see cref="CloseReason.FrameInvalid"/>): it contains the delimiter, has the wrong
    /// size …
    /// </exception>
    public void Write(ReadOnlySpan<byte> payload, IBufferWriter<byte> output)
    {
        ArgumentNullException.ThrowIfNull(output);
        if (payload.Length > FrameBytesMax)
            throw TooLongToWrite(payload.Length);
        WriteFrame(payload, output);
    }

    /// <inheritdoc cref="Write(ReadOnlySpan{byte}, IBufferWriter{byte})"/>
    public void Write(in ReadOnlySequence<byte> payload, IBufferWriter<byte> output)
    {
        if (payload.IsSingleSegment)
        {
            Write(payload.FirstSpan, output);
            return;
        }
        if (payload.Length > FrameBytesMax)
            throw TooLongToWrite(payload.Length);
        var rented = ArrayPool<byte>.Shared.Rent((int)payload.Length);
        try
        {
            payload.CopyTo(rented);
            Write(rented.AsSpan(0, (int)payload.Length), output);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rented);
        }
    }

    /// <summary>
    /// The rule's canonical text; <see cref="Parse"/> makes an equal rule of it (not of a custom rule).
    /// </summary>
    public abstract override string ToString();

    /// <summary>True for the same rule with the same limits, however it was written.</summary>
    public virtual bool Equals(Framing? other) =>
        other is not null && other.GetType() == GetType() && other.ToString() == ToString();

    /// <inheritdoc/>
    public sealed override bool Equals(object? obj) => Equals(obj as Framing);

    /// <inheritdoc/>
    public sealed override int GetHashCode() => ToString().GetHashCode(StringComparison.Ordinal);

    /// <summary>Finds the end of the frame at the front of a buffer that is not empty; throws FrameException.</summary>
    private protected abstract bool Measure(ref ReadOnlySequence<byte> buffer, ref FrameScan scan, out FrameCut cut);

    /// <summary>Writes the frame of a payload that is not longer than the maximum; decides before it writes.</summary>
    private protected abstract void WriteFrame(ReadOnlySpan<byte> payload, IBufferWriter<byte> output);

    /// <summary>Head, payload and tail in one piece of output where they are small.</summary>
    private static void Put(IBufferWriter<byte> output, ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload,
        ReadOnlySpan<byte> tail)
    {
        var frameBytes = (long)head.Length + payload.Length + tail.Length;
        if (frameBytes is > 0 and <= 2048)
        {
            var span = output.GetSpan((int)frameBytes);
            head.CopyTo(span);
            payload.CopyTo(span[head.Length..]);
            tail.CopyTo(span[(head.Length + payload.Length)..]);
            output.Advance((int)frameBytes);
            return;
        }
        if (output is IGatheringOutput gathering)
        {
            gathering.Write(head, payload, tail);
            return;
        }
        output.Write(head);
        output.Write(payload);
        output.Write(tail);
    }

    /// <summary>Where the payload is in the bytes of a whole frame; all three in bytes.</summary>
    private protected readonly record struct FrameCut(long Start, long Payload, long Total);

    /// <summary>
    /// An output that takes a large frame in its three parts, because it can do better than to lend memory in small
    /// pieces: give them to the kernel where they are, or copy them into one buffer of the right size.
    /// </summary>
    internal interface IGatheringOutput
    {
        /// <summary>The bytes are the caller's again when this returns.</summary>
        void Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail);
    }
}
