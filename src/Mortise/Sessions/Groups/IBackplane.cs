namespace Mortise;

/// <summary>
/// What carries broadcasts between servers, so that a group has members on several of them: a message broker, or what
/// you write. A server has none by default, and its groups are its own. Give it one with
/// <see cref="Backplanes.UseBackplane"/>.
/// </summary>
/// <remarks>
/// <para>
/// It is one server's: it is started once, and then called once at a time, in the order in which things happened. Each
/// call may take as long as it needs, and should wait where there is too much under way: no broadcast waits for it.
/// What the server has for it meanwhile is kept up to 8 MiB, then dropped and counted (<c>dropped_total</c>, reason
/// <c>backplane</c>). Whoever made it disposes it, after the server.
/// </para>
/// <para>
/// It promises that the messages of one server for one group arrive in their order and not twice, that a server's own
/// messages do not come back to it, and that what is lost on the way is told by
/// <see cref="IBackplaneReceiver.Missed"/>. It promises no order between servers. A broadcast's <c>except</c> does not
/// travel: who is left out is a session of the server that speaks.
/// </para>
/// </remarks>
public interface IBackplane
{
    /// <summary>
    /// Called first. From now on the receiver may be called, from any thread. Where it throws it is called again, 1 s
    /// later.
    /// </summary>
    /// <param name="receiver">Takes what comes from the other servers.</param>
    /// <param name="cancellationToken">The server stops.</param>
    ValueTask StartAsync(IBackplaneReceiver receiver, CancellationToken cancellationToken);

    /// <summary>
    /// Sends a message to all other servers that subscribed to the group. Done when it is on its way, which is not
    /// delivery. Where it throws, the message is counted as dropped.
    /// </summary>
    /// <param name="group">At most 128 bytes of UTF-8.</param>
    /// <param name="message">A whole frame. It does not change any more and may be kept.</param>
    /// <param name="cancellationToken">The server stops.</param>
    ValueTask PublishAsync(string group, ReadOnlyMemory<byte> message, CancellationToken cancellationToken);

    /// <summary>
    /// The group has its first member here. Where it throws it is called again, 1 s later; what it has accepted it
    /// keeps, also over an outage of its own.
    /// </summary>
    /// <param name="group">At most 128 bytes of UTF-8.</param>
    /// <param name="cancellationToken">The server stops.</param>
    ValueTask SubscribeAsync(string group, CancellationToken cancellationToken);

    /// <summary>The group's last member here has left.</summary>
    /// <param name="group">A group that was subscribed to.</param>
    /// <param name="cancellationToken">The server stops.</param>
    ValueTask UnsubscribeAsync(string group, CancellationToken cancellationToken);
}

/// <summary>A server, as its <see cref="IBackplane"/> sees it. Its methods are safe from any thread, return soon and do
/// not throw.</summary>
public interface IBackplaneReceiver
{
    /// <summary>
    /// A message of another server for the members of a group here. For a group without members it is dropped without
    /// a word, because the last may just have left.
    /// </summary>
    /// <param name="group">The group.</param>
    /// <param name="message">What was published; it need not stay valid after the call.</param>
    void Receive(string group, ReadOnlyMemory<byte> message);

    /// <summary>Messages of other servers were lost on their way here (<c>backplane_gap_total</c>).</summary>
    /// <param name="messages">How many, at least 1; at least so many, where that is all that is known.</param>
    /// <param name="groups">The groups that they may have been for; empty: any.</param>
    void Missed(long messages, IReadOnlyCollection<string> groups);
}
