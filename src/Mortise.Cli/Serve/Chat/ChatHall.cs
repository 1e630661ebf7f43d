using System.Collections.Concurrent;

namespace Mortise.Cli.Serve.Chat;

/// <summary>What the flags of `serve chat` come to.</summary>
/// <param name="HistoryLines">Kept for each room, and shown to who joins.</param>
/// <param name="LinesPerSecond">More from one client are not said.</param>
/// <param name="WaitsForSlow">Who speaks waits for slow readers.</param>
internal sealed record ChatSettings(int HistoryLines, double LinesPerSecond, bool WaitsForSlow);

/// <summary>The names and rooms of one server. Both come from peers, so both are bounded: a name for each connection,
/// and 1,000 rooms with 64 KiB of history each.</summary>
internal sealed class ChatHall(ChatSettings settings)
{
    public const string Lobby = "lobby";

    private const int RoomsMax = 1_000;

    private readonly ConcurrentDictionary<string, ChatGuest> _names = new();
    private readonly Dictionary<string, ChatRoom> _rooms = [];
    private readonly Lock _gate = new();
    private int _guests;
    private long _moves;

    public ChatSettings Settings => settings;

    /// <summary>A name that nobody has.</summary>
    public string Enter(ChatGuest guest)
    {
        while (true)
        {
            var name = $"guest{Interlocked.Increment(ref _guests)}";
            if (_names.TryAdd(ChatNames.Key(name), guest))
                return name;
        }
    }

    /// <summary>False when another has it. Writing one's own name otherwise is no other name.</summary>
    public bool TryRename(ChatGuest guest, string name)
    {
        var (old, wanted) = (ChatNames.Key(guest.Name), ChatNames.Key(name));
        if (old == wanted)
            return true;
        if (!_names.TryAdd(wanted, guest))
            return false;
        _names.TryRemove(new(old, guest));
        return true;
    }

    public ChatGuest? Find(string name) => _names.GetValueOrDefault(ChatNames.Key(name));

    public void Leave(ChatGuest guest, bool isTold)
    {
        Move(guest, null, null, isTold);
        _names.TryRemove(new(ChatNames.Key(guest.Name), guest));
    }

    /// <summary>From the room where somebody is to another, or to none; false when there are too many rooms.</summary>
    public bool Move(ChatGuest guest, string? to, Action<int, IReadOnlyCollection<ChatMessage>>? greet,
        bool isTold = true)
    {
        lock (_gate)
        {
            var (from, next) = (guest.Room, (ChatRoom?)null);
            if (to is not null && (next = FindOrMake(guest, to)) is null)
                return false;
            guest.Room = next;
            from?.Leave(guest, isTold);
            if (from?.IsNothing == true)
                _rooms.Remove(from.Name);
            next?.Enter(guest, greet!);
            foreach (var room in new[] { from, next })
                room?.Touched = ++_moves;
            return true;
        }
    }

    /// <summary>Those with most members first.</summary>
    public IReadOnlyList<(string Name, int Members)> Rooms()
    {
        lock (_gate)
            return [.. _rooms.Values.Select(r => (r.Name, r.Group.Count)).OrderByDescending(r => r.Count)
                .ThenBy(r => r.Name, StringComparer.Ordinal)];
    }

    private ChatRoom? FindOrMake(ChatGuest guest, string name)
    {
        if (_rooms.TryGetValue(name, out var room))
            return room;
        if (_rooms.Count >= RoomsMax && _rooms.Values.Where(r => r.Group.Count == 0 && r != guest.Room)
            .MinBy(r => r.Touched) is { } forgotten)
            _rooms.Remove(forgotten.Name);
        if (_rooms.Count >= RoomsMax && name != Lobby) // where everybody enters there is always room
            return null;
        return _rooms[name] = new ChatRoom(name, guest.Session.Groups[name], settings.HistoryLines);
    }
}
