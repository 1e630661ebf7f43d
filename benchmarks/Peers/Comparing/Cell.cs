using Mortise.Peers.Servers;

namespace Mortise.Peers.Comparing;

/// <summary>One server under one load, over all pairs.</summary>
internal sealed class Cell
{
    public Cell(string load, string server, IReadOnlyList<Pair> pairs, bool byCycles)
    {
        (Load, Server, Pairs) = (load, server, pairs.Count);
        Ratio = Interval.Of(pairs.Select(p => byCycles ? p.CycleRatio : p.CpuRatio));
        CpuMicroseconds = Median(p => p.Its.ServerCpuNs / p.Its.Messages / 1000);
        LoadMicroseconds = Median(p => p.Its.LoadCpuNs / p.Its.Messages / 1000);
        LoadShare = Median(p => p.Its.LoadCpuNs / 1e9 / p.Its.Seconds);
        ServerShare = Median(p => p.Its.ServerCpuNs / 1e9 / p.Its.Seconds);
        MessagesPerSecond = Median(p => p.Its.Messages / p.Its.Seconds);
        UserInstructions = pairs.Any(p => p.Its.UserInstructions < 0)
            ? null : Median(p => p.Its.UserInstructions / p.Its.Messages);
        Stranger = pairs.Select(p => p.EngineSeen)
            .FirstOrDefault(seen => seen is not null && seen != Contestant.Named(server).Engine);

        double Median(Func<Pair, double> value) => Interval.MedianOf(pairs.Select(value));
    }

    public string Load { get; }

    public string Server { get; }

    public int Pairs { get; }

    public Interval Ratio { get; }

    public double CpuMicroseconds { get; }

    public double LoadMicroseconds { get; }

    /// <summary>Of the one CPU that server and load share.</summary>
    public double LoadShare { get; }

    public double ServerShare { get; }

    public double MessagesPerSecond { get; }

    /// <summary>Null where the machine does not count.</summary>
    public double? UserInstructions { get; }

    /// <summary>The engine that carried it, when it is not the one that was asked for.</summary>
    public string? Stranger { get; }

    public string Verdict => Target.Of(Server, Load) is not { } target ? ""
        : Stranger is not null ? $"ran on {Stranger}: not judged"
        : $"≤ {target:F2}: {Target.Judge(Ratio, target)}";
}
