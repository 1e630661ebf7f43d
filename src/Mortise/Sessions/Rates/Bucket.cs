namespace Mortise.Sessions.Rates;

/// <summary>
/// A token bucket that holds one second's worth and may be overdrawn: what has come already is taken in any case, and
/// paid off by waiting. Safe from any thread. It has no timer; it counts when it is asked.
/// </summary>
/// <remarks>
/// Not System.Threading.RateLimiting: that is no part of the plain runtime, and its clock cannot be a
/// <see cref="TimeProvider"/>.
/// </remarks>
internal sealed class Bucket(double perSecond, TimeProvider time)
{
    private readonly double _most = Math.Max(1, perSecond);
    private readonly Lock _gate = new();
    private double _left = Math.Max(1, perSecond);
    private long _at = time.GetTimestamp();

    /// <summary>Nothing was taken lately.</summary>
    public bool IsFull
    {
        get
        {
            lock (_gate)
            {
                Refill();
                return _left >= _most;
            }
        }
    }

    /// <summary>Takes so much; what is left, below 0 where more was taken than was there.</summary>
    public double Take(double amount)
    {
        lock (_gate)
        {
            Refill();
            return _left -= amount;
        }
    }

    /// <summary>
    /// Takes so much if it is there, and nothing otherwise: who is refused owes nothing, or its attempts alone would
    /// keep the bucket empty for ever.
    /// </summary>
    public bool TryTake(double amount)
    {
        lock (_gate)
        {
            Refill();
            if (_left < amount)
                return false;
            _left -= amount;
            return true;
        }
    }

    /// <summary>How long until so much is there, if nobody takes any meanwhile; at most zero where it is.</summary>
    public TimeSpan Until(double amount)
    {
        lock (_gate)
        {
            Refill();
            return TimeSpan.FromSeconds(Math.Min((amount - _left) / perSecond, 1e6));
        }
    }

    private void Refill()
    {
        var now = time.GetTimestamp();
        _left = Math.Min(_most, _left + time.GetElapsedTime(_at, now).TotalSeconds * perSecond);
        _at = now;
    }
}
