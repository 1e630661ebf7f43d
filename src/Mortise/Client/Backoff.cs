namespace Mortise;

/// <summary>
/// Pauses that grow, and that differ between clients, so that a thousand of them do not return at once.
/// </summary>
public sealed class Backoff
{
    private readonly TimeSpan _first;
    private readonly TimeSpan _max;
    private readonly double _factor;
    private readonly Func<double> _random;

    private Backoff(TimeSpan first, TimeSpan max, double factor, Func<double>? random)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(first, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(max, first);
        ArgumentOutOfRangeException.ThrowIfLessThan(factor, 1);
        _first = first;
        _max = max;
        _factor = factor;
        _random = random ?? Random.Shared.NextDouble;
    }

    /// <summary>
    /// <paramref name="first"/>, then <paramref name="factor"/> times more each time, up to <paramref name="max"/>;
    /// each pause is drawn between half of that and all of it.
    /// </summary>
    /// <param name="first">The longest first pause.</param>
    /// <param name="max">No pause is longer.</param>
    /// <param name="factor">At least 1. Default 2.</param>
    /// <param name="random">Numbers from 0 to below 1; for tests. Default <see cref="Random.Shared"/>.</param>
    public static Backoff Exponential(TimeSpan first, TimeSpan max, double factor = 2, Func<double>? random = null) =>
        new(first, max, factor, random);

    /// <summary>The same pause each time, without jitter.</summary>
    public static Backoff Constant(TimeSpan pause) => new(pause, pause, 1, static () => 1);

    /// <summary>The pause before retry number <paramref name="retry"/>, counted from 1.</summary>
    public TimeSpan Pause(int retry)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(retry, 1);
        var grown = _first.TotalMilliseconds * Math.Pow(_factor, Math.Min(retry - 1, 64));
        var longest = Math.Min(grown, _max.TotalMilliseconds);
        return TimeSpan.FromMilliseconds(longest * (0.5 + 0.5 * _random()));
    }
}
