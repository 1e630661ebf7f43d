using System.Diagnostics;
using System.Globalization;
using Mortise.Peers.Churning;
using Mortise.Peers.Comparing;
using Mortise.Peers.Running;
using Mortise.Peers.Scaling;

namespace Mortise.Peers.Soaking;

/// <summary>
/// A server of lines on an ordinary day, for an hour: many clients at a steady pace, some that come and go, a few that
/// are hostile. Twenty times the hostile ones are sent away, and what the server holds then must not have grown.
/// </summary>
internal static class MixedSoak
{
    private const int MessageBytes = 64, MessagesPerSecond = 10_000, Looks = 20, PassingPerSecond = 50, PassingMax = 5;
    private const double HeapMiBPerHour = 1, LatencyGrowthMax = 1.2, DescriptorGrowthMax = 25;

    private static readonly TimeSpan WindowMax = TimeSpan.FromSeconds(30), Judgeable = TimeSpan.FromMinutes(30);

    private static readonly TimeSpan CalmMax = TimeSpan.FromSeconds(5);

    /// <summary>Hours since the start, heap after a full collection, descriptors, the latency before that.</summary>
    private sealed record Look(double Hours, double HeapMiB, double Descriptors, double P99Ms);

    public static async Task RunAsync(SoakRun run)
    {
        var honest = run.Connections(usual: 2_000, quick: 100);
        var time = run.Time(TimeSpan.FromHours(1), quick: TimeSpan.FromSeconds(4));
        var pace = run.IsQuick ? MessagesPerSecond / 10 : MessagesPerSecond;
        using var server = await ServerProcess.StartHostAsync($"{run.Kind}-lines", run.Engine, null,
            ServerProcess.FreshPort(), false, "--control");
        using (var warm = new CancellationTokenSource(TimeSpan.FromSeconds(1)))
            await PassingClients.RunAsync(server.Port, PassingPerSecond, run.Seed, warm.Token);
        await server.AskAsync("heap"); // the runtime's own descriptors come with what is used first
        var before = await ChurnBench.SettledAsync(server);
        List<Look> looks;
        (int Right, int Wrong) passing;
        var hostile = 0;
        using (var load = await LoadProcess.StartAsync(server, new(honest, MessageBytes, 1), run.Programs, null,
            run.Seed, lines: true))
        using (var over = new CancellationTokenSource())
        {
            var others = PassingClients.RunAsync(server.Port, PassingPerSecond, run.Seed, over.Token);
            looks = await LookAsync(server, load, honest, time, pace, !run.IsQuick, async end => hostile +=
                await HostileClients.RunAsync(server.Port, Math.Max(1, honest / 100), run.Seed + hostile, end));
            await over.CancelAsync();
            passing = await others;
        }

        run.Tell("clients at a steady pace, none lost or wrong", honest);
        run.Tell("messages a second", pace);
        run.AtLeast("clients that came and went", passing.Right, time.TotalSeconds * PassingPerSecond / 2);
        run.None("of these lost or wrong", passing.Wrong);
        run.AtLeast("hostile clients", hostile, 1);
        Judge(run, looks, time >= Judgeable);
        var after = await ChurnBench.SettledAsync(server);
        foreach (var name in Churned.Alive)
            run.None($"left: {name}",
                Math.Max(0, after[name] - (name == "descriptors" ? before[name] : 0)));
    }

    private static async Task<List<Look>> LookAsync(ServerProcess server, LoadProcess load, int honest, TimeSpan time,
        int pace, bool isTold, Func<CancellationToken, Task> attackAsync)
    {
        var looks = new List<Look>();
        var between = time / Looks;
        var windows = (int)Math.Ceiling(between / WindowMax);
        await load.PaceAsync(between / windows, pace); // a start is not what a day is like
        for (var watch = Stopwatch.StartNew(); looks.Count < Looks;)
        {
            var p99 = new List<double>();
            using (var calm = new CancellationTokenSource())
            {
                var attack = attackAsync(calm.Token);
                for (var i = 0; i < windows; i++)
                    p99.Add((await load.PaceAsync(between / windows, pace)).P99Ns / 1e6);
                await calm.CancelAsync();
                await attack;
            }

            await CalmAsync(server, honest);
            var look = new Look(watch.Elapsed.TotalHours,
                double.Parse(await server.AskAsync("heap"), CultureInfo.InvariantCulture) / (1 << 20),
                ProcessState.Descriptors(server.Id), Interval.MedianOf(p99));
            looks.Add(look);
            if (isTold)
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{look.Hours * 60:F1} min: heap ")
                    + string.Create(CultureInfo.InvariantCulture, $"{look.HeapMiB:F2} MiB, {look.Descriptors} ")
                    + string.Create(CultureInfo.InvariantCulture, $"descriptors, p99 {look.P99Ms:F2} ms"));
        }

        return looks;
    }

    /// <summary>
    /// Until the hostile ones are gone from the server. Connections are counted, not descriptors: the runtime opens
    /// some of its own at any time, and waiting for a number from the start would then always take the whole limit.
    /// </summary>
    private static async Task CalmAsync(ServerProcess server, int honest)
    {
        for (var since = Stopwatch.StartNew(); since.Elapsed < CalmMax; await Task.Delay(50))
            if (ChurnBench.Counts(await server.AskAsync("stats"))["connections_current"] <= honest + PassingMax)
                return;
    }

    private static void Judge(SoakRun run, List<Look> looks, bool isLong)
    {
        var fifth = Math.Max(1, looks.Count / 5);
        double First(Func<Look, double> what) => Interval.MedianOf(looks.Take(fifth).Select(what));
        double Last(Func<Look, double> what) => Interval.MedianOf(looks.TakeLast(fifth).Select(what));
        run.Tell("heap after a collection, at first", First(l => l.HeapMiB), "MiB");
        run.Below("heap grows", Growth([.. looks.Skip(fifth)]), HeapMiBPerHour, "MiB/h", isLong);
        run.AtMost("descriptors, last fifth more than first", Last(l => l.Descriptors) - First(l => l.Descriptors),
            DescriptorGrowthMax, isJudged: !run.IsQuick);
        run.Tell("p99 of the first fifth", First(l => l.P99Ms), "ms");
        run.AtMost("p99, last fifth of first", Last(l => l.P99Ms) / First(l => l.P99Ms), LatencyGrowthMax,
            isJudged: isLong);
    }

    /// <summary>
    /// From one half to the other, the least of each: what a look finds above that is on its way, what has leaked is
    /// below it too.
    /// </summary>
    private static double Growth(Look[] looks)
    {
        var (before, after) = (looks[..(looks.Length / 2)], looks[(looks.Length / 2)..]);
        return (after.Min(l => l.HeapMiB) - before.Min(l => l.HeapMiB))
            / (after.Average(l => l.Hours) - before.Average(l => l.Hours));
    }
}
