using Mortise.Telemetry;

namespace Mortise.Sessions.Asking;

/// <summary>What a message is to the requests of a session.</summary>
internal enum Match
{
    /// <summary>No reply: the handler's.</summary>
    None,

    /// <summary>The reply to a request that waited.</summary>
    Answered,

    /// <summary>A reply that nobody waits for any more.</summary>
    Late,
}

/// <summary>
/// The requests of one session that wait for their replies. Safe from any thread. A request is written and remembered
/// under one lock: so its reply cannot come before it is remembered, and the order here is the order on the wire.
/// </summary>
internal abstract class Requests<T>(Func<T, bool>? isReply)
{
    private protected readonly Lock _gate = new();
    private Func<Exception>? _over;

    /// <summary>A message that is no reply for certain is told by the user's predicate only.</summary>
    private protected bool IsCertain => isReply is not null;

    /// <summary>Requests whose reply is still expected; in order also those that were given up.</summary>
    public abstract int Count { get; }

    /// <summary>Makes a request of the kind that these are.</summary>
    public virtual Request<T> Create(Func<TimeSpan, Exception> timedOut) => new(this, timedOut);

    /// <summary>
    /// Writes the message and remembers the request, unless that is over already; false at the limit, and then nothing
    /// was written. What <paramref name="write"/> throws leaves nothing behind.
    /// </summary>
    public bool TrySend(Request<T> request, T message, int max, Action<T> write)
    {
        lock (_gate)
        {
            if (request.Task.IsCompleted)
                return true; // cancelled before it was sent
            if (_over is { } why)
                request.Fail(why());
            else if (Count >= max)
                return false;
            else
            {
                Enter(request, message, write);
                request.IsSent = true;
            }

            return true;
        }
    }

    /// <summary>Gives a reply to its request.</summary>
    public Match Take(T message)
    {
        if (isReply is not null && !isReply(message))
            return Match.None;
        Request<T>? request;
        lock (_gate)
        {
            if (!TryRemove(message, out request))
                return IsCertain ? Match.Late : Match.None;
        }

        return request?.Answer(message) == true ? Match.Answered : Match.Late;
    }

    /// <summary>The requester does not wait any more.</summary>
    public void GiveUp(Request<T> request)
    {
        lock (_gate)
            Leave(request);
    }

    /// <summary>No reply comes any more: all requests fail, and those to come.</summary>
    public void End(Func<Exception> why)
    {
        Fail(why);
        lock (_gate)
            Clear();
    }

    /// <summary>
    /// The same while something may still be read: their places stay, so that a reply that was received before is not
    /// taken for a message.
    /// </summary>
    public void Fail(Func<Exception> why)
    {
        List<Request<T>> left;
        lock (_gate)
        {
            _over ??= why;
            left = Waiting();
        }

        foreach (var request in left)
            request.Fail(why());
    }

    private protected abstract void Enter(Request<T> request, T message, Action<T> write);

    /// <summary>True for a reply; null where its request was given up.</summary>
    private protected abstract bool TryRemove(T reply, out Request<T>? request);

    private protected abstract void Leave(Request<T> request);

    /// <summary>All that were sent and not answered.</summary>
    private protected abstract List<Request<T>> Waiting();

    private protected abstract void Clear();
}

/// <summary>
/// A reply names its request. With <c>isReply</c> a request that is given up leaves nothing behind; without it the id
/// is remembered for a while, so that its late reply does not surprise the handler.
/// </summary>
internal sealed class RequestsById<T, TId>(Func<T, TId> id, Func<T, TId, T> withId, Func<TId> newId,
    Func<T, bool>? isReply) : Requests<T>(isReply)
    where TId : notnull
{
    private const int GivenUpMax = 256;
    private const int TriesMax = 1 << 17; // more than the ids of 16 bits; longer ones hardly ever meet

    private readonly Dictionary<TId, Request<T>?> _waiting = [];
    private Queue<TId>? _givenUp;
    private int _count;

    public override int Count => _count;

    /// <summary>Ids that are remembered only for a reply that may yet come.</summary>
    internal int Remembered => _waiting.Count - _count;

    public override Request<T> Create(Func<TimeSpan, Exception> timedOut) => new Named(this, timedOut);

    private protected override void Enter(Request<T> request, T message, Action<T> write)
    {
        var name = newId();
        for (var tries = 1; _waiting.ContainsKey(name); tries++)
        {
            if (tries > TriesMax)
                throw new InvalidOperationException($"every {typeof(TId).Name} is the id of a request under way");
            name = newId();
        }

        write(withId(message, name));
        _waiting.Add(name, request);
        _count++;
        ((Named)request).Id = name;
    }

    private protected override bool TryRemove(T reply, out Request<T>? request)
    {
        request = null;
        if (id(reply) is not { } name || !_waiting.Remove(name, out request))
            return false;
        if (request is not null)
            _count--;
        return true;
    }

    private protected override void Leave(Request<T> request)
    {
        if (request is not Named { IsSent: true } named || !_waiting.TryGetValue(named.Id, out var waiting)
            || waiting != request)
        {
            return;
        }

        _count--;
        if (IsCertain)
        {
            _waiting.Remove(named.Id);
            return;
        }

        _waiting[named.Id] = null;
        (_givenUp ??= []).Enqueue(named.Id);
        if (_givenUp.Count > GivenUpMax && _givenUp.Dequeue() is var oldest
            && _waiting.TryGetValue(oldest, out waiting) && waiting is null)
        {
            _waiting.Remove(oldest);
        }
    }

    private protected override List<Request<T>> Waiting() => [.. _waiting.Values.OfType<Request<T>>()];

    private protected override void Clear()
    {
        _waiting.Clear();
        (_count, _givenUp) = (0, null);
    }

    private sealed class Named(Requests<T> requests, Func<TimeSpan, Exception> timedOut)
        : Request<T>(requests, timedOut)
    {
        public TId Id { get; set; } = default!;
    }
}

/// <summary>The next reply is that of the oldest request. One that is given up keeps its place until then.</summary>
internal sealed class RequestsInOrder<T>(Func<T, bool>? isReply) : Requests<T>(isReply)
{
    private readonly Queue<Request<T>> _owed = [];

    public override int Count => _owed.Count;

    private protected override void Enter(Request<T> request, T message, Action<T> write)
    {
        write(message);
        _owed.Enqueue(request);
    }

    private protected override bool TryRemove(T reply, out Request<T>? request) => _owed.TryDequeue(out request);

    private protected override void Leave(Request<T> request)
    {
        // Its reply is owed nevertheless.
    }

    private protected override List<Request<T>> Waiting() => [.. _owed];

    private protected override void Clear() => _owed.Clear();
}

/// <summary>Replies that came when nobody waited for them any more, in all sessions of this process.</summary>
internal static class LateReplies
{
    private static long s_count;

    static LateReplies() => MortiseMeter.Probe(Metrics.Dropped, () => Total, (int)DropReason.LateReply);

    public static long Total => Volatile.Read(ref s_count);

    public static void Count() => Interlocked.Increment(ref s_count);
}
