using System.Buffers;
using System.Collections.Concurrent;
using System.Text;
using Mortise.Server;
using Mortise.Telemetry;

namespace Mortise.Sessions.Groups;

/// <summary>All groups of one server. Their names come from peers, so everything here has a bound.</summary>
internal sealed class GroupRegistry(ConnectionServer server)
{
    public const int GroupsPerSession = 64;
    public const int GroupsPerServer = 100_000;
    public const int NameBytesMax = 128;

    /// <summary>Written to members of one loop before it turns to the kernel.</summary>
    private const long TurnBytesMax = 64 * 1024;

    private const int KeptBytesMax = 64 * 1024;
    private static readonly object Nowhere = new();

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_encoder;

    private readonly ConcurrentDictionary<RoomKey, Room> _rooms = new();
    private readonly ConcurrentDictionary<object, Lane> _lanes = new();
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
                return room;
            Interlocked.Decrement(ref _count); // somebody else made it meanwhile
        }
    }

    public void Remove(Room room, Member member)
    {
        if (!room.Remove(member, out var isEmpty) || !isEmpty)
            return;
        _rooms.TryRemove(new(room.Key, room));
        Interlocked.Decrement(ref _count);
    }

    /// <summary>Does not throw: who cannot be reached is counted.</summary>
    public BroadcastResult Broadcast<T>(RoomKey key, T message, long exceptId)
    {
        var result = default(BroadcastResult);
        if (Find(key) is not { } room)
            return result;
        byte[]? bytes = null;
        Roll? last = null;
        foreach (var roll in room.Rolls)
        {
            if (roll.Codec != last?.Codec)
                bytes = TryEncode((Codec<T>)roll.Codec, message, key.Name);
            last = roll;
            result = result.And(bytes is null ? new(0, roll.Members.Count(m => m.Id != exceptId))
                : roll.Lane.Deliver(new Delivery(roll, bytes, exceptId)));
        }

        return result;
    }

    /// <summary>The same, over when every member has it in its queue or cannot have it.</summary>
    public async ValueTask<BroadcastResult> BroadcastAsync<T>(RoomKey key, T message, long exceptId)
    {
        var result = default(BroadcastResult);
        if (Find(key) is not { } room)
            return result;
        byte[]? bytes = null;
        Roll? last = null;
        var deliveries = new List<Task<BroadcastResult>>();
        foreach (var roll in room.Rolls)
        {
            if (roll.Codec != last?.Codec)
                bytes = TryEncode((Codec<T>)roll.Codec, message, key.Name);
            last = roll;
            if (bytes is null)
            {
                result = result.And(new(0, roll.Members.Count(m => m.Id != exceptId)));
                continue;
            }

            var delivery = new Delivery.Awaited(roll, bytes, exceptId);
            roll.Lane.Deliver(delivery);
            deliveries.Add(delivery.Over);
        }

        foreach (var delivery in deliveries)
            result = result.And(await delivery.ConfigureAwait(false));
        return result;
    }

    /// <summary>A codec that throws has nobody above it whom the exception would help.</summary>
    private byte[]? TryEncode<T>(Codec<T> codec, T message, string name)
    {
        var encoder = t_encoder ?? new ArrayBufferWriter<byte>();
        t_encoder = null; // one that is used inside an encoder is another one
        try
        {
            codec.Write(message, encoder);
            return encoder.WrittenSpan.ToArray();
        }
        catch (Exception e)
        {
            ServerLog.NotEncoded(server.Options.Log, e, name);
            return null;
        }
        finally
        {
            encoder.ResetWrittenCount();
            if (encoder.Capacity <= KeptBytesMax)
                t_encoder = encoder;
        }
    }
}
