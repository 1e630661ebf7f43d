namespace Mortise;

/// <summary>
/// How much peers may send to a session, in messages, in bytes, or both. One second's worth may come at once. Set it
/// in <see cref="ServerOptions.SessionRate"/> or <see cref="ServerOptions.AddressRate"/>.
/// </summary>
/// <example><code>o.SessionRate = new() { MessagesPerSecond = 10, Disconnects = true };</code></example>
public sealed record RateLimit
{
    /// <summary>Messages each second, above 0; below 1 is one in several seconds. Null: any number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not above 0, or no number.</exception>
    public double? MessagesPerSecond { get; init => field = Checked(value); }

    /// <summary>Bytes each second, as they were received, above 0. Null: any number.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Not above 0, or no number.</exception>
    public double? BytesPerSecond { get; init => field = Checked(value); }

    /// <summary>
    /// Who sends more is aborted for <see cref="CloseReason.RateLimit"/>. False, the default: it is read at that rate,
    /// and what it sends more waits at its side.
    /// </summary>
    public bool Disconnects { get; init; }

    private static double? Checked(double? perSecond)
    {
        if (perSecond is { } rate && !(rate > 0 && double.IsFinite(rate)))
            throw new ArgumentOutOfRangeException(nameof(perSecond), rate, "A rate is above 0.");
        return perSecond;
    }
}

/// <summary>
/// What becomes of broadcasts to a session whose peer reads slower than they come. The other members never wait for it.
/// </summary>
public enum SlowReaders
{
    /// <summary>The session is closed for <see cref="CloseReason.SlowReader"/>: it gets everything or
    /// nothing.</summary>
    Disconnect,

    /// <summary>
    /// The oldest waiting messages make room for the newest; the session is told how many it missed when it goes on.
    /// Broadcasts wait apart from what the session's own code sends: a reply may overtake broadcasts that wait.
    /// </summary>
    DropOldest,

    /// <summary>
    /// From the message that finds no room on the session gets none until all that waited has gone; then it is told
    /// how many it missed.
    /// </summary>
    DropNewest,

    /// <summary>
    /// Who awaits a broadcast waits until all that waited for the session has gone; one that is not awaited is dropped
    /// as with <see cref="DropNewest"/>.
    /// </summary>
    Wait,
}
