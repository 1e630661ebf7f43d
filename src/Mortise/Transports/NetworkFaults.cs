namespace Mortise;

/// <summary>
/// The bad network of a memory endpoint, on request and replayable from a seed. Settings hold for connections that
/// live and for those to come; each method returns the same object, so that faults read as one sentence.
/// </summary>
/// <example>
/// <code>MemoryNetwork.Shared.Faults("mem:chat").FragmentTo(1).Latency(TimeSpan.FromMilliseconds(5));</code>
/// </example>
public sealed class NetworkFaults
{
    private readonly Lock _gate = new();
    private Random _random = new(1);

    internal NetworkFaults()
    {
    }

    internal int FragmentBytesMax { get; private set; } = int.MaxValue;

    internal bool FragmentRandomly { get; private set; }

    internal bool IsFragmenting => FragmentBytesMax < int.MaxValue;

    internal TimeSpan Delay { get; private set; }

    internal long ResetAfterBytes { get; private set; } = long.MaxValue;

    internal bool ReadsStalled { get; private set; }

    /// <summary>Every receive gets at most this many bytes (at least 1).</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public NetworkFaults FragmentTo(int bytesMax)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(bytesMax, 1);
        FragmentBytesMax = bytesMax;
        return this;
    }

    /// <summary>Every receive gets a random part of what is there; the same seed gives the same parts.</summary>
    public NetworkFaults FragmentAtRandom(int seed)
    {
        _random = new Random(seed);
        FragmentRandomly = true;
        return this;
    }

    /// <summary>Bytes become readable this long after they were sent.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The delay is negative.</exception>
    public NetworkFaults Latency(TimeSpan delay)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero);
        Delay = delay;
        return this;
    }

    /// <summary>Either direction that has carried this many bytes resets the connection.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The number is negative.</exception>
    public NetworkFaults ResetAfter(long bytes)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ResetAfterBytes = bytes;
        return this;
    }

    /// <summary>Receivers see nothing more until <see cref="Heal"/>: a peer that stopped reading.</summary>
    public NetworkFaults StallReads()
    {
        ReadsStalled = true;
        return this;
    }

    /// <summary>
    /// A perfect network again; bytes held back by a stall become readable with the next send or wait.
    /// </summary>
    public NetworkFaults Heal()
    {
        FragmentBytesMax = int.MaxValue;
        FragmentRandomly = ReadsStalled = false;
        Delay = TimeSpan.Zero;
        ResetAfterBytes = long.MaxValue;
        Healed?.Invoke();
        return this;
    }

    internal event Action? Healed;

    internal int Fragment(int bytes)
    {
        bytes = Math.Min(bytes, FragmentBytesMax);
        if (!FragmentRandomly || bytes < 2)
            return bytes;
        lock (_gate)
            return _random.Next(1, bytes + 1);
    }
}
