namespace Mortise.Telemetry;

/// <summary>
/// The metrics of the command's contract. This table is the only place that names them: the meter, Prometheus and
/// JSON are drawn from it.
/// </summary>
internal static class Metrics
{
    private static readonly List<Metric> Table = [];

    public static readonly Metric ConnectionsCurrent =
        Gauge("connections_current", "{connection}", "Connections that are open now");

    public static readonly Metric ConnectionsLimit =
        Gauge("connections_limit", "{connection}", "Connections that may be open at one time");

    public static readonly Metric Accepted =
        Counter("accepted_total", "{connection}", "Connections accepted and admitted");

    public static readonly Metric Rejected = Counter("rejected_total", "{connection}",
        "Connections turned away before their handler ran", "reason",
        ["address_limit", "denied", "accept_error"]);

    public static readonly Metric Closed = Counter("closed_total", "{connection}", "Connections ended, by close reason",
        "reason", [.. Enum.GetValues<CloseReason>().Select(reason => reason.Name())]);

    public static readonly Metric BytesReceived = Counter("bytes_received_total", "By", "Bytes received from peers");

    public static readonly Metric BytesSent = Counter("bytes_sent_total", "By", "Bytes handed to the kernel for peers");

    public static readonly Metric FramesReceived =
        Counter("frames_received_total", "{frame}", "Whole frames received");

    public static readonly Metric BytesHeld =
        Gauge("bytes_held", "By", "Bytes in receive and send buffers of all connections");

    public static readonly Metric SendQueueBytes =
        Gauge("send_queue_bytes", "By", "Bytes queued for peers and not yet handed to the kernel");

    public static readonly Metric SlowDisconnects = Counter("slow_disconnects_total", "{connection}",
        "Connections closed because the peer read too slowly (slow_reader, write_stalled)");

    public static readonly Metric BuffersOutstanding =
        Gauge("buffers_outstanding", "{buffer}", "Buffers rented from the pools and not yet returned");

    public static readonly Metric Dropped = Counter("dropped_total", "{message}", "Messages dropped", "reason",
        ["truncated", "receive_queue", "slow_reader", "backlog", "late_reply", "backplane", "inbox", "newcomer",
            "bad_frame", "amplification"]);

    public static readonly Metric AcceptQueueLength =
        Gauge("accept_queue_length", "{connection}", "Connections that wait in the kernel's accept queue");

    public static readonly Metric ListenOverflows = Counter("listen_overflows_total", "{connection}",
        "Connections the kernel dropped because an accept queue was full");

    public static readonly Metric HandlerFaults =
        Counter("handler_faults_total", "{exception}", "Handlers that threw; only their own connection is closed");

    public static readonly Metric RateWaits = Counter("rate_waits_total", "{wait}",
        "Times that a session was over its rate limit and was not read for a while");

    public static readonly Metric BackplaneGap =
        Counter("backplane_gap_total", "{message}", "Messages missing between two that the backplane delivered");

    /// <summary>Every metric, in the order of the contract.</summary>
    public static IReadOnlyList<Metric> All => Table;

    /// <summary>How many cells all metrics take together.</summary>
    public static int CellCount => Table.Sum(metric => metric.Cells);

    /// <summary>The samples of a snapshot: every metric, and every value of its label, zeros too.</summary>
    public static IEnumerable<MetricSample> Samples(CounterSnapshot snapshot)
    {
        foreach (var metric in Table)
            for (var label = 0; label < metric.Cells; label++)
                yield return new(metric.Name, metric.Help, metric.Kind, metric.Label, metric.LabelValues?[label],
                    snapshot[metric, label]);
    }

    private static Metric Gauge(string name, string unit, string help) => Add(name, MetricKind.Gauge, unit, help);

    private static Metric Counter(string name, string unit, string help, string? label = null,
        IReadOnlyList<string>? values = null) => Add(name, MetricKind.Counter, unit, help, label, values);

    private static Metric Add(string name, MetricKind kind, string unit, string help, string? label = null,
        IReadOnlyList<string>? values = null)
    {
        var metric = new Metric(name, kind, unit, help, CellCount, label, values);
        Table.Add(metric);
        return metric;
    }
}
