namespace Mortise.Telemetry;

/// <summary>How a metric moves: a counter only grows, a gauge goes both ways.</summary>
internal enum MetricKind
{
    Counter,
    Gauge,
}

/// <summary>Why a connection was turned away before its handler ran.</summary>
internal enum RejectReason
{
    AddressLimit,
    Denied,
    AcceptError,
}

/// <summary>Why a message was dropped instead of sent or handled.</summary>
internal enum DropReason
{
    Truncated,
    ReceiveQueue,
    SlowReader,

    /// <summary>An event loop did not turn while broadcasts to it piled up.</summary>
    Backlog,

    /// <summary>Nobody waited for this reply any more.</summary>
    LateReply,

    /// <summary>The backplane could not take it, or what it brought was no message.</summary>
    Backplane,

    /// <summary>A datagram came for a session whose handler does not keep up.</summary>
    Inbox,

    /// <summary>A datagram of a peer that cannot have a session: no room, or the server stops.</summary>
    Newcomer,

    /// <summary>Bytes of a datagram that are no whole frame.</summary>
    BadFrame,

    /// <summary>More than came from an address that may be forged.</summary>
    Amplification,
}

/// <summary>
/// One metric of the contract. Its values live in consecutive cells of an array, one for each value of its label, so
/// that counting is one addition and a snapshot is one copy.
/// </summary>
internal sealed record Metric(string Name, MetricKind Kind, string Unit, string Help, int FirstCell,
    string? Label = null, IReadOnlyList<string>? LabelValues = null)
{
    /// <summary>How many cells it takes: one, or one for each value of the label.</summary>
    public int Cells => LabelValues?.Count ?? 1;
}

/// <summary>One line of an exposition.</summary>
internal readonly record struct MetricSample(string Name, string Help, MetricKind Kind, string? Label,
    string? LabelValue, long Value);
