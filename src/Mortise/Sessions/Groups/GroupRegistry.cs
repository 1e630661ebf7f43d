using System.Collections.Concurrent;
using System.Text;
using Mortise.Server;

namespace Mortise.Sessions.Groups;

/// <summary>All groups of one server. Their names come from peers, so everything here has a bound.</summary>
internal sealed class GroupRegistry(ConnectionServer server) : IAsyncDisposable
{
    public const int GroupsPerSession = 64;
    public const int GroupsPerServer = 100_000;
    public const int NameBytesMax = 128;

    /// <summary>Written to members of one loop before it turns to the kernel.</summary>
    private const long TurnBytesMax = 64 * 1024;

    private static readonly object Nowhere = new();

    private readonly ConcurrentDictionary<RoomKey, Room> _rooms = new();
    private readonly ConcurrentDictionary<object, Lane> _lanes = new();
    private readonly Dictionary<Type, Bridge> _bridges = [];
    private int _count;

    public ConnectionServer Server => server;

    /// <summary>The groups of the server that serves this connection, or null.</summary>
    public static GroupRegistry? Of(Connection connection) =>
        ConnectionServer.Of(connection)?.Shared(static s => new GroupRegistry(s));

    /// <exception cref="GroupLimitException">The name is too long.</exception>
    public static RoomKey Key<T>(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length <= NameBytesMax && Encoding.UTF8.GetByteCount(name) <= NameBytesMax)
            return new(typeof(T), name);
        var shown = name[..Math.Min(name.Length, 32)] + "…";
        throw TooMany(shown, $"a name has at most {NameBytesMax} bytes of UTF-8");
    }

    public static GroupLimitException TooMany(string name, string limit) => new(name, limit);

    public Room? Find(RoomKey key) => _rooms.GetValueOrDefault(key);

    /// <summary>The connection that comes first opens the way to its home for good: one per loop.</summary>
    public Lane LaneOf(Connection connection) => _lanes.GetOrAdd(connection.Home ?? Nowhere,
        static (_, s) => new Lane(s.connection, Math.Clamp(s.server.Options.QueueBytesMax / 2, 1, TurnBytesMax)),
        (connection, server));

    /// <exception cref="GroupLimitException">The server has too many groups.</exception>
    public Room Add(RoomKey key, Member member)
    {
        while (true)
        {
            if (_rooms.TryGetValue(key, out var room))
            {
                if (room.TryAdd(member, out _))
                    return room;
                continue; // it vanishes just now
            }

            if (Interlocked.Increment(ref _count) > GroupsPerServer)
            {
                Interlocked.Decrement(ref _count);
                throw TooMany(key.Name, $"a server has at most {GroupsPerServer}");
            }

            room = new Room(key);
            room.TryAdd(member, out _);
            if (_rooms.TryAdd(key, room))
            {
                Look(key);
                return room;
            }

            Interlocked.Decrement(ref _count); // somebody else made it meanwhile
        }
    }

    public void Remove(Room room, Member member)
    {
        if (!room.Remove(member, out var isEmpty) || !isEmpty)
            return;
        _rooms.TryRemove(new(room.Key, room));
        Interlocked.Decrement(ref _count);
        Look(room.Key);
    }

    /// <summary>Does not throw: who cannot be reached is counted.</summary>
    public BroadcastResult Broadcast<T>(RoomKey key, T message, long exceptId)
    {
        var result = default(BroadcastResult);
        var bridge = BridgeOf<T>();
        var room = Find(key);
        if (room is null && bridge is null)
            return result;
        var encodings = new Encodings<T>(this, key.Name, message, bridge?.Codec);
        foreach (var roll in room?.Rolls ?? [])
            result = result.And(encodings.In(roll.Codec) is { } bytes
                ? roll.Lane.Deliver(new Delivery(roll, bytes, exceptId)) : new(0, Others(roll, exceptId)));
        Publish(bridge, key, ref encodings);
        return result;
    }

    /// <summary>The same, over when every member has it in its queue or cannot have it.</summary>
    public async ValueTask<BroadcastResult> BroadcastAsync<T>(RoomKey key, T message, long exceptId)
    {
        var result = default(BroadcastResult);
        var bridge = BridgeOf<T>();
        var room = Find(key);
        if (room is null && bridge is null)
            return result;
        var encodings = new Encodings<T>(this, key.Name, message, bridge?.Codec);
        var deliveries = new List<Task<BroadcastResult>>();
        foreach (var roll in room?.Rolls ?? [])
        {
            if (encodings.In(roll.Codec) is not { } bytes)
            {
                result = result.And(new(0, Others(roll, exceptId)));
                continue;
            }

            var delivery = new Delivery.Awaited(roll, bytes, exceptId);
            roll.Lane.Deliver(delivery);
            deliveries.Add(delivery.Over);
        }

        Publish(bridge, key, ref encodings);
        foreach (var delivery in deliveries)
            result = result.And(await delivery.ConfigureAwait(false));
        return result;
    }

    /// <summary>Opens the ways to the backplanes; once, before there is anybody.</summary>
    public GroupRegistry Begin()
    {
        foreach (var use in server.Options.ForRooms.OfType<BackplaneUse>())
        {
            var bridge = use.Begin(this);
            _bridges.Add(bridge.Messages, bridge);
            bridge.Begin();
        }

        return this;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var bridge in _bridges.Values)
            await bridge.DisposeAsync().ConfigureAwait(false);
    }

    private static int Others(Roll roll, long exceptId) => roll.Members.Count(m => m.Id != exceptId);

    private static void Publish<T>(Bridge<T>? bridge, RoomKey key, ref Encodings<T> encodings)
    {
        if (bridge is not null && encodings.In(bridge.Codec) is { } bytes)
            bridge.Publish(key.Name, bytes);
    }

    public Bridge<T>? BridgeOf<T>() => _bridges.Count == 0 ? null : _bridges.GetValueOrDefault(typeof(T)) as Bridge<T>;

    private void Look(RoomKey key)
    {
        if (_bridges.Count > 0 && _bridges.TryGetValue(key.Messages, out var bridge))
            bridge.Look(key.Name);
    }
}
