namespace Mortise.Cli.Serve.Chat;

/// <summary>
/// A room: who is in it, and the last lines that were said. Everything that its members hear is said under its lock,
/// which nobody holds while waiting; so all hear the same in the same order, and who joins misses nothing between the
/// history and the first line.
/// </summary>
internal sealed class ChatRoom(string name, Group<ChatMessage> group, int linesMax)
{
    private const int BytesMax = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly Queue<ChatMessage> _history = new();
    private int _bytes;

    public string Name => name;

    public Group<ChatMessage> Group => group;

    /// <summary>Members and history: a room without both is nothing.</summary>
    public bool IsNothing => group.Count == 0 && _history.Count == 0;

    /// <summary>When somebody last joined or left, in the hall's count; the oldest empty room gives way.</summary>
    public long Touched { get; set; }

    /// <summary>Lets somebody in: what <paramref name="greet"/> sends comes before all that is said later.</summary>
    public void Enter(ChatGuest guest, Action<int, IReadOnlyCollection<ChatMessage>> greet)
    {
        lock (_gate)
        {
            group.Add(guest.Session);
            greet(group.Count, _history);
            group.Broadcast(new(ChatKinds.Joined, name, guest.Name, Count: group.Count), except: guest.Session);
        }
    }

    public void Leave(ChatGuest guest, bool isTold)
    {
        lock (_gate)
        {
            group.Remove(guest.Session);
            if (isTold)
                group.Broadcast(new(ChatKinds.Left, name, guest.Name, Count: group.Count));
        }
    }

    /// <summary>Over when every member has it in its queue; that is at once, but for a server that waits for slow
    /// readers.</summary>
    public ValueTask SayAsync(ChatMessage message, Session<ChatMessage> speaker, bool waits)
    {
        lock (_gate)
        {
            Remember(message);
            if (waits)
                return Until(group.BroadcastAsync(message, except: speaker));
            group.Broadcast(message, except: speaker);
            return default;
        }

        static async ValueTask Until(ValueTask<BroadcastResult> broadcast) => await broadcast;
    }

    /// <summary>Something that is not said by anybody, and not remembered.</summary>
    public void Tell(ChatMessage message)
    {
        lock (_gate)
            group.Broadcast(message);
    }

    private void Remember(ChatMessage message)
    {
        _history.Enqueue(message);
        _bytes += BytesOf(message);
        while (_history.Count > linesMax || _bytes > BytesMax)
            _bytes -= BytesOf(_history.Dequeue());
    }

    /// <summary>As the heap holds it.</summary>
    private static int BytesOf(ChatMessage message) => 128 + 2 * (message.Text?.Length ?? 0);
}
