using System.Text;
using Mortise.Peers.Comparing;

namespace Mortise.Peers.Broadcasting;

/// <summary>The page of <c>bench broadcast</c>: everything on it is made of the data.</summary>
internal static class BroadcastPage
{
    private const int PairsMin = 6;

    public static string Write(BroadcastData data)
    {
        var text = new StringBuilder();
        void Line(string line = "") => text.Append(line).Append('\n');
        var isFirst = true;
        Line($"# One speaks, all hear it, {data.Machine.Date}");
        Line();
        Line(data.Machine.ToMarkdown());
        Line();
        Line($"""
            A load is members × bytes of a line × lines said at once; the next are said when every member has heard
            all. A delivery is one line that one member has heard; every byte is compared. Server and load share
            CPU {data.Cpu}. What is compared is the CPU of the server's process, kernel side included. Each pair starts
            ours and the raw C one (native/broadcast.c: level-triggered epoll, one send for each member) afresh, warms
            both, and lets their windows alternate, A B B A, {data.SecondsEach} s of each. Deliveries per CPU-second
            are a ratio to the raw C one within the pair: the median over the pairs and its 95 % bootstrap interval.
            Ours is `s.Groups["all"].Broadcast(line, except: s)` in a handler on its loop.
            """);
        Line();
        Line("| load | server | pairs | deliveries per CPU-second, raw C = 1 | ns each | raw C | verdict |");
        Line("|---|---|---:|---:|---:|---:|---|");
        foreach (var cell in data.Pairs.GroupBy(p => p.Load))
        {
            foreach (var pairs in cell.GroupBy(p => p.Server))
            {
                var ratio = Interval.Of(pairs.Select(p => 1 / p.CpuRatio));
                Line($"| {cell.Key} | {pairs.Key} | {ratio.Count} | {ratio} | {Nanoseconds(pairs, its: true):F0} | "
                    + $"{Nanoseconds(pairs, its: false):F0} | {(isFirst ? Judge(ratio) : "")} |");
            }

            isFirst = false;
        }

        if (data.Failures.Count > 0)
        {
            Line();
            Line("## Missing and failed");
            Line();
            foreach (var failure in data.Failures)
                Line($"- {failure}");
        }

        return text.ToString();
    }

    private static double Nanoseconds(IEnumerable<Pair> pairs, bool its) => Interval.MedianOf(pairs
        .Select(p => its ? p.Its : p.Measure).Select(r => r.ServerCpuNs / r.Messages));

    private static string Judge(Interval ratio) => $"≥ {BroadcastBench.DeliveriesMin:F1}: "
        + (ratio.Count < PairsMin ? $"not judged: {ratio.Count} pairs"
            : ratio.Low >= BroadcastBench.DeliveriesMin - Target.Tolerance ? "reached"
            : ratio.High >= BroadcastBench.DeliveriesMin - Target.Tolerance ? "not separable"
            : "not reached");
}
