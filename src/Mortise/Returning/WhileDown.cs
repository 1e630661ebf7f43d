namespace Mortise;

/// <summary>
/// What a <see cref="SocketClient{T}"/> does with messages while it has no connection. None of the three sends a
/// message a second time that may have reached the wire: if the connection ends under it, its outcome is
/// <see cref="SendOutcome.Unknown"/>.
/// </summary>
public sealed class WhileDown
{
    /// <summary>Calls that wait at a time; one more fails with <c>EAGAIN</c>.</summary>
    internal const int CallsMax = 10_000;

    private WhileDown(bool holds, long? bytesMax) => (Holds, BufferBytesMax) = (holds, bytesMax);

    /// <summary>
    /// The call waits for the connection, in the order of the calls and as long as its token allows; a request as long
    /// as its timeout. At most 10,000 calls wait.
    /// </summary>
    public static WhileDown Wait { get; } = new(true, null);

    /// <summary>The call fails at once: <see cref="UndeliveredException"/>, never sent.</summary>
    public static WhileDown Fail { get; } = new(false, null);

    /// <summary>
    /// The call completes at once, and the message is kept encoded until there is a connection, in order with the
    /// others. A message that would be too much fails with <c>ENOBUFS</c>, never sent. What becomes of a kept message
    /// later nobody awaits: <see cref="SocketClientOptions{T}.OnLost"/> tells what is lost. A request waits as with
    /// <see cref="Wait"/>.
    /// </summary>
    /// <param name="bytesMax">The most that is kept, in bytes as they go on the wire; at least 1.</param>
    public static WhileDown Buffer(long bytesMax)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytesMax, 1);
        return new(true, bytesMax);
    }

    /// <summary>Calls or messages are held while there is no connection.</summary>
    internal bool Holds { get; }

    internal long? BufferBytesMax { get; }
}
