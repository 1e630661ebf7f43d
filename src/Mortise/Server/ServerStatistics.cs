using Mortise.Telemetry;

namespace Mortise;

/// <summary>What a server has counted since its start.</summary>
public sealed class ServerStatistics
{
    private readonly CounterSnapshot _counts;

    internal ServerStatistics(CounterSnapshot counts) => _counts = counts;

    /// <summary>Connections open now.</summary>
    public long Current => _counts[Metrics.ConnectionsCurrent];

    /// <summary>Connections accepted and admitted.</summary>
    public long Accepted => _counts[Metrics.Accepted];

    /// <summary>Connections turned away, for any reason.</summary>
    public long Rejected => _counts.Sum(Metrics.Rejected);

    /// <summary>Accepts that failed (EMFILE, ECONNABORTED, …); the server went on after each.</summary>
    public long AcceptErrors => _counts[Metrics.Rejected, (int)RejectReason.AcceptError];

    /// <summary>Handlers that threw.</summary>
    public long HandlerFaults => _counts[Metrics.HandlerFaults];

    /// <summary>Bytes received from peers.</summary>
    public long BytesReceived => _counts[Metrics.BytesReceived];

    /// <summary>Bytes the kernel has taken for peers.</summary>
    public long BytesSent => _counts[Metrics.BytesSent];

    /// <summary>Whole frames received.</summary>
    public long FramesReceived => _counts[Metrics.FramesReceived];

    /// <summary>
    /// Messages and datagrams dropped, for any reason: <c>dropped_total</c>, with those that the kernel dropped.
    /// </summary>
    public long Dropped => _counts.Sum(Metrics.Dropped);

    /// <summary>Connections that ended for <paramref name="reason"/>.</summary>
    public long Closed(CloseReason reason) => _counts[reason];
}

/// <summary>How a drain ended.</summary>
/// <param name="Finished">Connections whose handlers left within the time and whose bytes the kernel has, whether their
/// peers had closed by then or not.</param>
/// <param name="Aborted">Connections that were cut off at the deadline with work undone.</param>
/// <param name="Elapsed">How long it took.</param>
public readonly record struct DrainResult(int Finished, int Aborted, TimeSpan Elapsed);
