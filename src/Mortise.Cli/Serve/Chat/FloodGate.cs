namespace Mortise.Cli.Serve.Chat;

/// <summary>
/// A token bucket for one person: so many lines a second in the long run, and some seconds' worth at once. It needs no
/// timer and no lock: a session's handler is serial.
/// </summary>
internal sealed class FloodGate(double linesPerSecond, TimeProvider time)
{
    private const double SecondsSaved = 4;
    private readonly double _most = Math.Max(1, linesPerSecond * SecondsSaved);
    private double _tokens = Math.Max(1, linesPerSecond * SecondsSaved);
    private long _at = time.GetTimestamp();

    /// <summary>Lines turned away since the last that passed.</summary>
    public int Refused { get; private set; }

    /// <summary>Who goes on in spite of so many answers does not read them.</summary>
    public bool IsHopeless => Refused > 10 * _most;

    public bool TryPass()
    {
        var now = time.GetTimestamp();
        _tokens = Math.Min(_most, _tokens + time.GetElapsedTime(_at, now).TotalSeconds * linesPerSecond);
        _at = now;
        var passes = _tokens >= 1;
        _tokens -= passes ? 1 : 0;
        Refused = passes ? 0 : Refused + 1;
        return passes;
    }
}
