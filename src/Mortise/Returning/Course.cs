namespace Mortise.Returning;

/// <summary>
/// Which endpoint is tried next, and after what pause. Endpoints are tried in their order, the last good one first;
/// when all of them were, there is a pause, each longer than the one before until a connection was good.
/// </summary>
internal sealed class Course(IReadOnlyList<Endpoint> endpoints, Backoff pauses, TimeSpan stableAfter)
{
    private readonly Queue<Endpoint> _round = new(endpoints);
    private Endpoint? _good;
    private int _rounds;

    public (Endpoint Endpoint, TimeSpan Pause) Next()
    {
        if (_round.TryDequeue(out var next))
            return (next, TimeSpan.Zero);
        if (_good is not null)
            _round.Enqueue(_good);
        foreach (var endpoint in endpoints.Where(e => e != _good))
            _round.Enqueue(endpoint);
        return (_round.Dequeue(), pauses.Pause(++_rounds));
    }

    /// <summary>A connection ended. One that did not live long is a failed attempt like any other.</summary>
    public void Ended(Endpoint endpoint, TimeSpan lived)
    {
        if (lived < stableAfter || stableAfter == Timeout.InfiniteTimeSpan)
            return;
        (_good, _rounds) = (endpoint, 0);
        _round.Clear(); // a pause comes first: a server that restarts has lost all its clients at the same moment
    }
}
