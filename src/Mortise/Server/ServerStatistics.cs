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

    /// <summary>Connections that ended for <paramref name="reason"/>.</summary>
    public long Closed(CloseReason reason) => _counts[reason];
}
