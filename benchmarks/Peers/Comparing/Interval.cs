namespace Mortise.Peers.Comparing;

/// <summary>A median and where it lies with 95 % confidence.</summary>
internal readonly record struct Interval(double Median, double Low, double High, int Count)
{
    private const int Resamples = 10_000;

    public static readonly Interval None = new(double.NaN, double.NaN, double.NaN, 0);

    public bool Exists => !double.IsNaN(Median);

    /// <summary>
    /// The percentile bootstrap: medians of as many values drawn with replacement, ten thousand times, from a fixed
    /// seed, so that the same data gives the same interval.
    /// </summary>
    public static Interval Of(IEnumerable<double> sample)
    {
        var values = sample.ToArray();
        if (values.Length == 0)
            return None;
        var random = new Random(7);
        var medians = new double[Resamples];
        var drawn = new double[values.Length];
        for (var i = 0; i < Resamples; i++)
        {
            for (var j = 0; j < drawn.Length; j++)
                drawn[j] = values[random.Next(values.Length)];
            medians[i] = MedianOf(drawn);
        }

        Array.Sort(medians);
        return new(MedianOf(values), medians[(int)(Resamples * 0.025)], medians[(int)(Resamples * 0.975)],
            values.Length);
    }

    public static double MedianOf(IEnumerable<double> sample)
    {
        var sorted = sample.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    public bool Overlaps(Interval other) => Low <= other.High && other.Low <= High;

    public override string ToString() => Exists ? $"{Median:F2} [{Low:F2}, {High:F2}]" : "–";
}
