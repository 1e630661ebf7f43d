using Mortise.Telemetry;

namespace Mortise.Transports.Packets;

/// <summary>What clients drop; a server counts for itself.</summary>
internal static class LostPackets
{
    private static readonly long[] s_counts = new long[Enum.GetValues<DropReason>().Length];

    static LostPackets()
    {
        foreach (var reason in Enum.GetValues<DropReason>())
            if (reason >= DropReason.Inbox)
                MortiseMeter.Probe(Metrics.Dropped, () => Volatile.Read(ref s_counts[(int)reason]), (int)reason);
    }

    public static void Count(DropReason reason) => Interlocked.Increment(ref s_counts[(int)reason]);
}
