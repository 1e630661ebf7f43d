using Mortise.Sessions.Groups;

namespace Mortise;

/// <summary>
/// All groups of a server for messages of one type. A group is there as soon as somebody is in it, and vanishes with
/// its last member. Names come from peers, so there are limits: 128 bytes of UTF-8 for a name, 64 groups for a session,
/// 100,000 for a server.
/// </summary>
/// <example><code>
/// await SocketServer.RunAsync(":7007", Codec.Lines(), (s, line) =>
/// {
///     s.Groups["lobby"].Add(s);
///     s.Groups["lobby"].Broadcast(line, except: s);
///     return ValueTask.CompletedTask;
/// });
/// </code></example>
public readonly struct Groups<T>
{
    private readonly GroupRegistry _registry;

    internal Groups(GroupRegistry registry) => _registry = registry;

    /// <summary>The group of that name, which need not have members yet. Case counts.</summary>
    /// <exception cref="GroupLimitException">The name has more than 128 bytes of UTF-8.</exception>
    public Group<T> this[string name] => new(_registry, GroupRegistry.Key<T>(name));
}

/// <summary>
/// Sessions that are spoken to together. Safe from any thread; who ends leaves by itself. It is a name, not a list:
/// keep it as long as you like.
/// </summary>
public readonly struct Group<T>
{
    private readonly GroupRegistry _registry;
    private readonly RoomKey _key;

    internal Group(GroupRegistry registry, RoomKey key) => (_registry, _key) = (registry, key);

    /// <summary>The name it was asked for by.</summary>
    public string Name => _key.Name;

    /// <summary>Members now.</summary>
    public int Count => _registry.Find(_key)?.Count ?? 0;

    /// <summary>A snapshot of the members.</summary>
    public IReadOnlyList<Session<T>> Members =>
        [.. (_registry.Find(_key)?.Rolls ?? []).SelectMany(r => r.Members).Select(m => (Session<T>)m.Session)];

    /// <summary>Makes a session a member; false when it is one already, or is over.</summary>
    /// <exception cref="GroupLimitException">The session is in 64 groups, or the server has 100,000.</exception>
    /// <exception cref="ArgumentException">The session belongs to another server.</exception>
    public bool Add(Session<T> session)
    {
        ArgumentNullException.ThrowIfNull(session);
        if (session.Member.Registry != _registry)
            throw new ArgumentException("The session belongs to another server.", nameof(session));
        return session.Member.Join(_key);
    }

    /// <summary>False when it was no member. A message that was on its way may still come.</summary>
    public bool Remove(Session<T> session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return session.Member.Leave(_key);
    }

    /// <summary>The session is a member now.</summary>
    public bool Contains(Session<T> session)
    {
        ArgumentNullException.ThrowIfNull(session);
        return _registry.Find(_key)?.Contains(session.Member) == true;
    }

    /// <summary>
    /// Sends a message to all members, without waiting for anybody; it never throws. The message is encoded once for
    /// each codec among them. One caller's messages keep their order. What a slow reader means is decided by
    /// <see cref="ServerOptions.SlowReaders"/>; with <see cref="SlowReaders.Wait"/>, for which this call cannot wait,
    /// a member without room misses the message.
    /// </summary>
    /// <param name="message">What all get; it is encoded before the call returns.</param>
    /// <param name="except">Who does not get it: usually who said it.</param>
    /// <returns>How many members it is on its way to, and how many it will not reach. A member of another event loop
    /// that turns out to have no room there is counted by its <see cref="Session{T}.Missed"/> only.</returns>
    public BroadcastResult Broadcast(T message, Session<T>? except = null) =>
        _registry.Broadcast(_key, message, except?.Id ?? 0);

    /// <summary>
    /// The same for who can wait: over when every member has the message in its queue, or cannot have it; then the
    /// result is exact. With <see cref="SlowReaders.Wait"/> it waits for slow readers, each at most
    /// <see cref="ServerOptions.WriteStallTimeout"/>.
    /// </summary>
    public ValueTask<BroadcastResult> BroadcastAsync(T message, Session<T>? except = null) =>
        _registry.BroadcastAsync(_key, message, except?.Id ?? 0);

    /// <summary>Sends to one member; false when there is none of that <see cref="Session{T}.Id"/>, or as
    /// <see cref="Session{T}.TrySend"/> says.</summary>
    /// <exception cref="FrameException">The framing rule cannot carry this message; nothing was queued.</exception>
    public bool TrySend(long sessionId, T message) =>
        _registry.Find(_key)?.Find(sessionId)?.Session is Session<T> session && session.TrySend(message);
}
