using Mortise.Telemetry;

namespace Mortise.Server;

/// <summary>
/// The metrics that nobody counts: they are read off the live connections and the kernel when somebody asks. So the hot
/// path adds to two longs of its own connection and to nothing that is shared.
/// </summary>
internal static class ServerGauges
{
    public static void Attach(ServerCounters counters, ConnectionWatch watch, IReadOnlyList<Listener> listeners)
    {
        counters.Probe(Metrics.BytesReceived, () => watch.Sum(static c => c.BytesReceived));
        counters.Probe(Metrics.BytesSent, () => watch.Sum(static c => c.BytesSent));
        counters.Probe(Metrics.FramesReceived, () => watch.Sum(static c => c.FramesReceived));
        counters.Probe(Metrics.BytesHeld, () => watch.Sum(static c => c.BytesHeld + c.BytesQueued));
        counters.Probe(Metrics.SendQueueBytes, () => watch.Sum(static c => c.BytesQueued));
        counters.Probe(Metrics.Dropped, () => listeners.Sum(l => l.KernelDrops), (int)DropReason.ReceiveQueue);
        counters.Probe(Metrics.AcceptQueueLength, () => listeners.Sum(l => Math.Max(0L, l.AcceptQueueLength)));
        MortiseMeter.Probe(Metrics.ListenOverflows, ListenOverflows);
    }

    /// <summary>
    /// <c>ListenOverflows</c> of /proc/net/netstat: of this network namespace, not of one listener; the kernel counts
    /// no finer.
    /// </summary>
    private static long ListenOverflows()
    {
        if (!OperatingSystem.IsLinux())
            return 0;
        try
        {
            var lines = File.ReadLines("/proc/net/netstat")
                .Where(l => l.StartsWith("TcpExt:", StringComparison.Ordinal))
                .Select(l => l.Split(' ')).ToArray();
            var column = lines.Length == 2 ? Array.IndexOf(lines[0], "ListenOverflows") : -1;
            return column < 0 ? 0 : long.Parse(lines[1][column], System.Globalization.CultureInfo.InvariantCulture);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            // A metric is not worth failing for: a container may hide /proc/net.
            return 0;
        }
    }
}
