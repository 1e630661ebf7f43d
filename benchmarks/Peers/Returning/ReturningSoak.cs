using System.Globalization;
using Mortise.Peers.Churning;
using Mortise.Peers.Running;
using Mortise.Peers.Soaking;

namespace Mortise.Peers.Returning;

/// <summary><see cref="KilledServer"/> in a process of its own, so that what it counts is its own.</summary>
internal static class ReturningSoak
{
    private const int Kills = 50, QuickKills = 5;

    private static readonly TimeSpan EndMax = TimeSpan.FromMinutes(3);

    /// <summary>What must have happened for the rest to mean something.</summary>
    private static readonly string[] Deeds = ["killed", "numbers", "answered", "refused", "logins"];

    /// <summary>What a kill may cost: the peer's kernel had it, or nobody knows, and the sender was told so.</summary>
    private static readonly string[] Told =
        ["lost_in_a_killed_kernel_queue", "unknown_and_there", "unknown_and_not_there", "told_as_lost"];

    public static async Task RunAsync(SoakRun run)
    {
        var kills = run.Connections(Kills, QuickKills).ToString(CultureInfo.InvariantCulture);
        using var child = Child.Start(null, run.Engine, Environment.ProcessPath!, "returning", run.Engine, kills,
            $"{run.Seed}");
        var counts = ChurnBench.Counts(await child.ReadAsync("the end of the kills", EndMax));
        run.Tell("seed", run.Seed);
        foreach (var name in Deeds)
            run.AtLeast(name, counts.GetValueOrDefault(name), 1);
        foreach (var name in Told)
            run.Tell(name, counts.GetValueOrDefault(name));
        foreach (var (name, value) in counts.Where(c => !Deeds.Contains(c.Key) && !Told.Contains(c.Key)))
            run.None(name, value);
    }
}
