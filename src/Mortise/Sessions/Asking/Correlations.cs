using System.Numerics;

namespace Mortise.Sessions.Asking;

/// <summary>The description; the state is <see cref="RequestsById{T,TId}"/>.</summary>
internal sealed class ById<T, TId>(Func<T, TId> id, Func<T, TId, T> withId, Func<T, bool>? isReply,
    Func<bool, Func<TId>> ids) : Correlation<T>
    where TId : notnull
{
    internal override Requests<T> Begin(bool accepted) =>
        new RequestsById<T, TId>(id, withId, ids(accepted), isReply);
}

/// <summary>The description; the state is <see cref="RequestsInOrder{T}"/>.</summary>
internal sealed class InOrder<T>(Func<T, bool>? isReply) : Correlation<T>
{
    internal override Requests<T> Begin(bool accepted) => new RequestsInOrder<T>(isReply);
}

/// <summary>1, 3, 5 … or 2, 4, 6 …, as far as the type counts, then again from the start.</summary>
internal sealed class Numbers<TId>(bool even)
    where TId : IBinaryInteger<TId>
{
    private long _last = even ? 0 : -1;

    /// <summary>Not for several threads.</summary>
    public TId Next()
    {
        TId id;
        do
        {
            _last = unchecked(_last + 2);
            id = TId.CreateTruncating(_last);
        }
        while (id <= TId.Zero);
        return id;
    }
}
