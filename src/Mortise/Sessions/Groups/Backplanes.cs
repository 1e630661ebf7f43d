using Mortise.Sessions.Groups;

namespace Mortise;

/// <summary>Groups over several servers.</summary>
public static class Backplanes
{
    /// <summary>
    /// Groups of <typeparamref name="T"/> have members on all servers that are joined by this backplane. Broadcasts
    /// reach the members here directly, as without it, and those elsewhere through it. What is counted stays local:
    /// <see cref="Group{T}.Count"/>, <see cref="Group{T}.Members"/> and <see cref="BroadcastResult"/> know this
    /// server's members only.
    /// </summary>
    /// <param name="options">Of the server.</param>
    /// <param name="backplane">Carries messages of one type, for one server.</param>
    /// <param name="codec">
    /// What the servers speak among each other, the same for all. Where it is the very object that sessions here speak
    /// too, what comes is handed on as it is, and nothing is decoded.
    /// </param>
    /// <param name="onMissed">
    /// Called when messages of other servers were lost: how many, and the groups that they may have been for; empty:
    /// any. It must be quick and must not throw. There a chat says so, and a game sends its whole state.
    /// </param>
    /// <exception cref="ArgumentException">Groups of this type have a backplane already, or it is used for
    /// another.</exception>
    public static void UseBackplane<T>(this ServerOptions options, IBackplane backplane, Codec<T> codec,
        Action<long, IReadOnlyCollection<string>>? onMissed = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(backplane);
        ArgumentNullException.ThrowIfNull(codec);
        foreach (var other in options.ForRooms.OfType<BackplaneUse>())
            if (other is BackplaneUse<T> || other.Backplane == backplane)
                throw new ArgumentException($"A backplane serves one type of messages, and {typeof(T).Name} one "
                    + "backplane.", nameof(backplane));
        options.ForRooms.Add(new BackplaneUse<T>(backplane, codec, onMissed));
    }
}
