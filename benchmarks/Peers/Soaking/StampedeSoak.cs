using System.Globalization;
using Mortise.Peers.Churning;
using Mortise.Peers.Running;
using Mortise.Peers.Stampeding;

namespace Mortise.Peers.Soaking;

/// <summary><see cref="Stampede"/> in a process of its own, so that what it counts is its own and all of it.</summary>
internal static class StampedeSoak
{
    private static readonly TimeSpan EndMax = TimeSpan.FromSeconds(60);

    /// <summary>What must have happened for the rest to mean something.</summary>
    private static readonly string[] Deeds =
        ["accepted", "disposed", "aborted", "input_ended", "restarted", "cancelled",
        "will_throw", "thrown", "limits_changed"];

    public static async Task RunAsync(SoakRun run)
    {
        var time = run.Time(TimeSpan.FromMinutes(1), quick: TimeSpan.FromSeconds(2.5));
        using var child = Child.Start(null, run.Engine, Environment.ProcessPath!, "stampede", run.Engine,
            time.TotalMilliseconds.ToString("F0", CultureInfo.InvariantCulture), $"{run.Seed}");
        var counts = ChurnBench.Counts(await child.ReadAsync("the end of the stampede", time + EndMax));
        run.Tell("seed", run.Seed);
        foreach (var name in Deeds)
            run.AtLeast(name, counts.GetValueOrDefault(name), 1);
        foreach (var (name, value) in counts.Where(c => c.Key != "nobody_there" && !Deeds.Contains(c.Key)))
            run.None(name, value);
    }
}
