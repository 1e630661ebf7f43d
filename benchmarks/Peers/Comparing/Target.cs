using Mortise.Peers.Running;

namespace Mortise.Peers.Comparing;

/// <summary>What must be shown, and the judgement on an interval.</summary>
internal static class Target
{
    /// <summary>How far above the target the upper end of the interval may lie.</summary>
    public const double Tolerance = 0.03;

    public const double LatencyMax = 1.2;

    /// <summary>The interval of fewer pairs says nothing: no resample can leave what little was seen.</summary>
    private const int PairsMin = 6;

    private static readonly (LoadShape Load, double? Uring, double? Epoll, double? Lines)[] Table =
    [
        (LoadShape.All[0], 1.05, 1.10, 1.10),
        (LoadShape.All[1], 0.98, 1.08, 1.08),
        (LoadShape.All[2], 1.00, 1.10, 1.10),
        (LoadShape.All[3], 0.98, 1.10, 1.50),
        (LoadShape.All[4], 1.08, 1.10, 1.15),
        (LoadShape.All[5], 1.10, 1.10, null),
    ];

    /// <summary>The largest ratio to the raw C server that is asked of this server under this load, if any.</summary>
    public static double? Of(string server, string load)
    {
        var row = Table.FirstOrDefault(r => r.Load.ToString() == load);
        return server switch
        {
            "mortise-uring" or "mortise-uring-loop" => row.Uring,
            "mortise-epoll" or "mortise-epoll-loop" => row.Epoll,
            "mortise-uring-lines" or "mortise-epoll-lines" => row.Lines,
            _ => null,
        };
    }

    public static string Judge(Interval ratio, double target) =>
        ratio.Count < PairsMin ? $"not judged: {ratio.Count} pairs"
        : ratio.High <= target + Tolerance ? "reached"
        : ratio.Low <= target + Tolerance ? "not separable"
        : "not reached";
}
