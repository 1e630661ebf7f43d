namespace Mortise.Sessions.Asking;

/// <summary>Times that a timer can count: a timer that refuses its time does so where nobody expects it.</summary>
internal static class TimerTime
{
    /// <summary>49.7 days.</summary>
    public static readonly TimeSpan Max = TimeSpan.FromMilliseconds(uint.MaxValue - 1);

    /// <summary>From zero to <see cref="Max"/>, or infinite.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is not.</exception>
    public static TimeSpan Checked(TimeSpan time, string name)
    {
        if (time != Timeout.InfiniteTimeSpan)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero, name);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(time, Max, name);
        }

        return time;
    }
}

/// <summary>
/// One question that waits for its answer, its time and its caller's token. However it ends, timer and registration go
/// with it.
/// </summary>
internal class Request<T>(Requests<T> requests, Func<TimeSpan, Exception> timedOut)
    : TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    private CancellationTokenRegistration _registration;
    private ITimer? _timer;
    private TimeSpan _timeout;

    /// <summary>It was written. Its requests set it under their lock, so that it is final when they return.</summary>
    public bool IsSent { get; set; }

    /// <summary>From now on it can be given up; before it is sent, so that nothing can come too early.</summary>
    public void Arm(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        _timeout = timeout;
        if (timeout != Timeout.InfiniteTimeSpan)
        {
            _timer = time.CreateTimer(static r => ((Request<T>)r!).TimeOut(), this, timeout,
                Timeout.InfiniteTimeSpan);
        }

        if (cancellationToken.CanBeCanceled)
            _registration = cancellationToken.UnsafeRegister(static (r, t) => ((Request<T>)r!).Cancel(t), this);
        if (Task.IsCompleted)
            Disarm(); // meanwhile: who ended it may have seen one of the two only
    }

    /// <summary>False when nobody waits any more.</summary>
    public bool Answer(T reply)
    {
        var answered = TrySetResult(reply);
        Disarm();
        return answered;
    }

    public void Fail(Exception why)
    {
        TrySetException(why);
        Disarm();
    }

    private void TimeOut()
    {
        requests.GiveUp(this);
        if (!Task.IsCompleted)
            TrySetException(timedOut(_timeout));
        Disarm();
    }

    private void Cancel(CancellationToken cancellationToken)
    {
        requests.GiveUp(this);
        TrySetCanceled(cancellationToken);
        Disarm();
    }

    private void Disarm()
    {
        _timer?.Dispose();
        _registration.Unregister(); // does not wait for the callback, which may be this very one
    }
}
