namespace Mortise;

/// <summary>
/// How far a framing rule has looked into the frame that is arriving: one per connection and direction, kept between
/// reads, so that no byte is examined twice. It is empty (<c>default</c>) at the start of every frame.
/// </summary>
/// <remarks>
/// A begun frame is what receive timeouts watch: <see cref="Begun"/> starts the clock, a finished frame stops it.
/// </remarks>
public struct FrameScan
{
    /// <summary>True while the first bytes of a frame have arrived and its last one has not.</summary>
    public bool Begun { readonly get; internal set; }

    /// <summary>
    /// Bytes, counted from the first byte of the frame, without which the rule can say nothing new: the whole frame
    /// once its length is known, its header before; null where only the next byte can tell (a delimiter, JSON).
    /// </summary>
    public readonly long? NeedBytes => Need > 0 ? Need : null;

    /// <summary>The same as <see cref="NeedBytes"/> with 0 for unknown.</summary>
    internal long Need;

    /// <summary>Bytes of this frame that were examined; the next look starts here.</summary>
    internal long At;

    /// <summary>
    /// What the bytes so far mean: a state of the delimiter automaton, or a mode of the JSON scanner.
    /// </summary>
    internal int State;

    /// <summary>Open JSON containers.</summary>
    internal int Depth;

    /// <summary>One bit for each open JSON container, the innermost lowest: 1 an object, 0 an array.</summary>
    internal ulong Nest;

    /// <summary>
    /// Every byte examined for this frame, counted as often as it was looked at. Tests hold it to 1 each.
    /// </summary>
    internal long Looked;
}

/// <summary>
/// What a custom rule answers about the first bytes of a frame: <see cref="NeedMore"/>, the length of the whole frame
/// (<see cref="Of"/>), or <see cref="Invalid"/>.
/// </summary>
public readonly record struct FrameLength
{
    private FrameLength(long frameBytes, string? reason)
    {
        FrameBytes = frameBytes;
        Reason = reason;
    }

    /// <summary>More bytes must arrive before the length is known.</summary>
    public static FrameLength NeedMore => default;

    /// <summary>The length of the whole frame in bytes, header included; 0 while it is not known.</summary>
    public long FrameBytes { get; }

    /// <summary>Why the bytes cannot begin a frame, or null.</summary>
    public string? Reason { get; }

    /// <summary>The frame has <paramref name="frameBytes"/> bytes, header included.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The length is not at least 1: such a frame never ends.</exception>
    public static FrameLength Of(long frameBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(frameBytes, 1);
        return new FrameLength(frameBytes, null);
    }

    /// <summary>No frame begins with these bytes; <paramref name="reason"/> is one sentence for the log.</summary>
    public static FrameLength Invalid(string reason)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        return new FrameLength(0, reason);
    }
}
