using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace Mortise.Telemetry;

/// <summary>
/// The meter: its instruments read sums over all servers of this process when somebody listens, and cost nothing else.
/// A server that has ended takes its gauges with it, but what it counted stays: a counter never falls.
/// </summary>
internal static class MortiseMeter
{
    private static readonly Lock Gate = new();
    private static readonly HashSet<ServerCounters> Servers = [];
    private static readonly ConcurrentDictionary<int, Func<long>> Probes = new();
    private static readonly Meter Meter = new(MortiseTelemetry.MeterName, MortiseTelemetry.Version);
    private static CounterSnapshot s_retired = CounterSnapshot.Zero;

    static MortiseMeter()
    {
        foreach (var metric in Metrics.All)
            if (metric.Kind == MetricKind.Counter)
                Meter.CreateObservableCounter(metric.Name, () => Observe(metric), metric.Unit, metric.Help);
            else
                Meter.CreateObservableGauge(metric.Name, () => Observe(metric), metric.Unit, metric.Help);
    }

    /// <summary>
    /// Reads a metric that belongs to the whole process, not to one server (pools, the kernel's listen overflows).
    /// The function must not throw or block.
    /// </summary>
    public static void Probe(Metric metric, Func<long> read, int label = 0) =>
        Probes[metric.FirstCell + label] = read;

    /// <summary>The sum of all servers, living and ended, and of the process's own metrics.</summary>
    public static CounterSnapshot Totals()
    {
        CounterSnapshot sum;
        lock (Gate)
            sum = Servers.Aggregate(s_retired, (total, server) => total + server.Snapshot());
        var own = new long[Metrics.CellCount];
        foreach (var (cell, read) in Probes)
            own[cell] = read();
        return sum + new CounterSnapshot(own);
    }

    internal static void Register(ServerCounters server)
    {
        lock (Gate)
            Servers.Add(server);
    }

    internal static void Retire(ServerCounters server)
    {
        lock (Gate)
            if (Servers.Remove(server))
                s_retired += server.Snapshot().CountersOnly();
    }

    private static IEnumerable<Measurement<long>> Observe(Metric metric)
    {
        var totals = Totals();
        for (var label = 0; label < metric.Cells; label++)
            yield return metric.Label is null
                ? new(totals[metric])
                : new(totals[metric, label], new KeyValuePair<string, object?>(metric.Label,
                    metric.LabelValues![label]));
    }
}
