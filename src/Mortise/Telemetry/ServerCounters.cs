using System.Collections.Concurrent;
using System.Diagnostics;

namespace Mortise.Telemetry;

/// <summary>
/// What one server counts. Safe from any thread. Bytes and frames, which change most, are counted by
/// each connection alone and read through <see cref="Probe"/>. Live servers are summed by <see cref="MortiseMeter"/>;
/// disposing takes this one out and keeps what it counted.
/// </summary>
internal sealed class ServerCounters : IDisposable
{
    private readonly long[] _cells = new long[Metrics.CellCount];
    private readonly ConcurrentDictionary<int, Func<long>> _probes = new();

    public ServerCounters() => MortiseMeter.Register(this);

    /// <summary>
    /// Held while what a connection has counted moves here, and while a snapshot is taken: one that saw it in neither
    /// place, or in both, would make a counter fall, which Prometheus reads as a restart.
    /// </summary>
    public Lock Moving { get; } = new();

    /// <summary>Connections open now.</summary>
    public long ConnectionsCurrent => Volatile.Read(ref _cells[Metrics.ConnectionsCurrent.FirstCell]);

    /// <summary>A connection was accepted and admitted; <see cref="Closed"/> must follow once.</summary>
    public void Accepted()
    {
        Add(Metrics.ConnectionsCurrent, 1);
        Add(Metrics.Accepted, 1);
    }

    /// <summary>A connection was turned away; neither accepted nor closed is counted for it.</summary>
    public void Rejected(RejectReason reason) => Add(Metrics.Rejected, 1, (int)reason);

    /// <summary>An accepted connection ended. Slow readers and handler faults are counted here too.</summary>
    public void Closed(CloseReason reason)
    {
        Add(Metrics.Closed, 1, (int)reason);
        if (reason is CloseReason.SlowReader or CloseReason.WriteStalled)
            Add(Metrics.SlowDisconnects, 1);
        else if (reason is CloseReason.HandlerFault)
            Add(Metrics.HandlerFaults, 1);
        var left = Add(Metrics.ConnectionsCurrent, -1);
        Debug.Assert(left >= 0, "a connection was counted as closed twice");
    }

    /// <summary>Messages were dropped.</summary>
    public void Dropped(DropReason reason, long messages = 1) => Add(Metrics.Dropped, messages, (int)reason);

    /// <summary>Adds to a metric, for those without a method of their own (gauges also downwards).</summary>
    public long Add(Metric metric, long amount, int label = 0) =>
        Interlocked.Add(ref _cells[metric.FirstCell + label], amount);

    /// <summary>Sets a gauge such as <see cref="Metrics.ConnectionsLimit"/>.</summary>
    public void Set(Metric gauge, long value) => Volatile.Write(ref _cells[gauge.FirstCell], value);

    /// <summary>Reads a metric from elsewhere when a snapshot is taken; the function must not throw or block.</summary>
    public void Probe(Metric metric, Func<long> read, int label = 0) => _probes[metric.FirstCell + label] = read;

    /// <summary>All values at this moment (each is exact; together they may be a moment apart).</summary>
    public CounterSnapshot Snapshot()
    {
        var copy = new long[_cells.Length];
        lock (Moving)
        {
            for (var i = 0; i < copy.Length; i++)
                copy[i] = Volatile.Read(ref _cells[i]);
            foreach (var (cell, read) in _probes)
                copy[cell] += read();
        }

        return new(copy);
    }

    public void Dispose() => MortiseMeter.Retire(this);
}
