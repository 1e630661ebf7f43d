using Mortise.Sessions.Groups;

namespace Mortise;

/// <content>A session among others.</content>
public sealed partial class Session<T>
{
    private Member? _member;

    /// <summary>The groups of the server that serves this session.</summary>
    /// <exception cref="InvalidOperationException">No server serves it: it is a client's, or was accepted by
    /// hand.</exception>
    public Groups<T> Groups => new(Registry);

    /// <summary>
    /// Broadcasts that this session did not get, because its peer reads too slowly or its event loop did not turn.
    /// </summary>
    public long Missed => _member?.Missed ?? 0;

    /// <summary>
    /// Called when a session that missed broadcasts goes on, before the next of them is sent: with how many it missed
    /// since the last time. It runs where the session lives, also while its handler waits for something, and must not
    /// throw.
    /// </summary>
    /// <example><code>session.OnMissed = (s, count) => s.TrySend($"* you missed {count} messages");</code></example>
    public Action<Session<T>, long>? OnMissed
    {
        get;
        set
        {
            field = value;
            Member.OnMissed = value is null ? null : count => value(this, count);
        }
    }

    internal Member Member => Volatile.Read(ref _member)
        ?? Interlocked.CompareExchange(ref _member,
            new Member(Registry, Connection, _codec, this) { QueueBytesMax = QueueBytesMax }, null) ?? _member;

    private GroupRegistry Registry => GroupRegistry.Of(Connection)
        ?? throw new InvalidOperationException("Groups belong to a server, and no server serves this session.");
}
