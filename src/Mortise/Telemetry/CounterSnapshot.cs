namespace Mortise.Telemetry;

/// <summary>The values of all metrics at one moment; two can be added.</summary>
internal sealed class CounterSnapshot(long[] values)
{
    private readonly long[] _cells = values;

    /// <summary>Nothing counted.</summary>
    public static CounterSnapshot Zero { get; } = new(new long[Metrics.CellCount]);

    /// <summary>One value; <paramref name="label"/> is the index of the label's value.</summary>
    public long this[Metric metric, int label = 0] => _cells[metric.FirstCell + label];

    /// <summary>How many connections ended for this reason.</summary>
    public long this[CloseReason reason] => this[Metrics.Closed, (int)reason];

    /// <summary>A metric over all values of its label.</summary>
    public long Sum(Metric metric) => _cells.Skip(metric.FirstCell).Take(metric.Cells).Sum();

    /// <summary>The sum, value by value.</summary>
    public static CounterSnapshot operator +(CounterSnapshot left, CounterSnapshot right)
    {
        var sum = new long[Metrics.CellCount];
        for (var i = 0; i < sum.Length; i++)
            sum[i] = left._cells[i] + right._cells[i];
        return new(sum);
    }

    /// <summary>Only what grows: the gauges of a server that has ended are gone, its counters are not.</summary>
    public CounterSnapshot CountersOnly()
    {
        var kept = new long[Metrics.CellCount];
        foreach (var metric in Metrics.All.Where(metric => metric.Kind == MetricKind.Counter))
            Array.Copy(_cells, metric.FirstCell, kept, metric.FirstCell, metric.Cells);
        return new(kept);
    }
}
