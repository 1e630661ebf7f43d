namespace Mortise.Sessions.Groups;

/// <summary>
/// Whole messages that wait for a slow reader, each shared with all others that wait for it. Only a member that is slow
/// has one. Not safe for threads: its member's lock covers it.
/// </summary>
internal sealed class Outbox
{
    /// <summary>A message of one byte keeps more than a byte.</summary>
    public const int OverheadBytes = 32;

    private readonly Queue<byte[]> _messages = new();

    public long Bytes { get; private set; }

    public int Count => _messages.Count;

    /// <summary>Adds the newest, and drops the oldest while there is more than <paramref name="bytesMax"/>; how many.
    /// The newest stays.</summary>
    public int Add(byte[] message, long bytesMax)
    {
        _messages.Enqueue(message);
        Bytes += message.Length;
        var dropped = 0;
        for (; _messages.Count > 1 && Bytes + _messages.Count * (long)OverheadBytes > bytesMax; dropped++)
            Take();
        return dropped;
    }

    public bool TryPeek(out byte[] message) => _messages.TryPeek(out message!);

    public void Take() => Bytes -= _messages.Dequeue().Length;
}
