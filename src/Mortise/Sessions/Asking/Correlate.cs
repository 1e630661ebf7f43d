using System.Numerics;
using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>
/// How a reply finds its request on your own wire format. A description, without state: one serves any number of
/// sessions. Set it in <see cref="SessionOptions{T}.Correlation"/>; then <see cref="Session{T}.RequestAsync"/> works
/// in both directions.
/// </summary>
/// <example>
/// <code>
/// var byId = Correlate.ById((ChatMessage m) => m.Id, (m, id) => m with { Id = id }, isReply: m => m.IsReply);
/// await using var s = await SocketClient.ConnectAsync(":7007", codec, new SessionOptions&lt;ChatMessage&gt;
/// {
///     Correlation = byId,
/// });
/// var who = await s.RequestAsync(new ChatMessage("who"), TimeSpan.FromSeconds(2));
/// </code>
/// </example>
public static class Correlate
{
    /// <summary>
    /// By a number in the message, which the session gives: unique among the requests under way, positive, never 0.
    /// Odd for the side that connected, even for connections of a <see cref="SocketServer"/>, so that two sides that
    /// ask at the same time never choose the same.
    /// </summary>
    /// <param name="id">The number in a message.</param>
    /// <param name="withId">The same message with another number.</param>
    /// <param name="isReply">
    /// Tells a reply from a request of the peer. Without it, a message whose number is that of a request of ours under
    /// way is its reply. That is safe while the peer never asks, or asks with numbers of the other parity; where the
    /// peer counts as it likes, its request 7 would be taken for the reply to our request 7.
    /// </param>
    public static Correlation<T> ById<T, TId>(Func<T, TId> id, Func<T, TId, T> withId, Func<T, bool>? isReply = null)
        where TId : IBinaryInteger<TId> => new ById<T, TId>(id, withId, isReply, even => new Numbers<TId>(even).Next);

    /// <summary>By an id of any type, e.g. text or a <see cref="Guid"/>, that <paramref name="newId"/> makes.</summary>
    /// <param name="id">The id in a message; null where it has none.</param>
    /// <param name="withId">The same message with another id.</param>
    /// <param name="newId">Makes an id; asked again while it makes one that is under way. It must be quick and safe
    /// from any thread.</param>
    /// <param name="isReply">Tells a reply from a request of the peer; needless where both sides' ids are unique in
    /// the world.</param>
    public static Correlation<T> ById<T, TId>(Func<T, TId> id, Func<T, TId, T> withId, Func<TId> newId,
        Func<T, bool>? isReply = null)
        where TId : notnull => new ById<T, TId>(id, withId, isReply, _ => newId);

    /// <summary>
    /// By order: the first reply answers the first request. A request that is given up keeps its place, so the replies
    /// after it still find theirs.
    /// </summary>
    /// <param name="isReply">
    /// Tells a reply from what the peer sends unasked. Without it, whatever comes while a reply is owed is the reply.
    /// </param>
    public static Correlation<T> InOrder<T>(Func<T, bool>? isReply = null) => new InOrder<T>(isReply);
}

/// <summary>How replies find their requests; made by <see cref="Correlate"/>.</summary>
/// <typeparam name="T">The message.</typeparam>
public abstract class Correlation<T>
{
    private protected Correlation()
    {
    }

    /// <summary>The requests of one session.</summary>
    internal abstract Requests<T> Begin(bool accepted);
}
