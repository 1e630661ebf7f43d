using Mortise.Peers.Churning;
using Mortise.Peers.Comparing;
using Mortise.Peers.Running;
using Mortise.Peers.Scaling;

namespace Mortise.Peers.Soaking;

/// <summary>
/// Connections that come, echo and go, half of them by reset, beside a plain .NET socket server that gets the same:
/// slices of both alternate, so that a busy machine is busy for both.
/// </summary>
internal static class ChurnSoak
{
    private const double GrowthMax = 1.10, RateMin = 0.9;

    public static async Task RunAsync(SoakRun run)
    {
        var connections = run.Connections(usual: 200_000, quick: 1_000);
        var slices = run.IsQuick ? 2 : 10;
        var (slice, warm) = (connections / slices, connections / 10);
        using var ours = await StartAsync($"{run.Kind}-counted", run.Engine);
        using var plain = await StartAsync("socket", null);
        foreach (var server in new[] { ours, plain })
            await ChurnBench.ChurnAsync(run.Programs, server.Port, warm, run.Seed - 1, isPlain: true);
        var before = await ChurnBench.SettledAsync(ours);
        var rssBefore = await IdleMemory.CollectedAsync(ours);

        var (failed, wrong, ended, rates, ratios) = (0L, 0L, 0L, new List<double>(), new List<double>());
        for (var i = 0; i < slices; i++)
        {
            var (load, rate) = await SliceAsync(ours, run.Seed + i);
            var (_, plainRate) = await SliceAsync(plain, run.Seed + i);
            long Of(string name) => load[name].GetInt64();
            failed += Of("failed") + Of("cutShort");
            wrong += Of("wrongBytes");
            ended += Of("C") + Of("R");
            rates.Add(rate);
            ratios.Add(rate / plainRate);
        }

        var after = await ChurnBench.SettledAsync(ours);
        double More(string name) => after.GetValueOrDefault(name) - before.GetValueOrDefault(name);
        run.AtLeast("connections that ended as they should", ended, slice * slices);
        run.None("errors that no client caused", failed + More("handler_faults_total") + after.Keys
            .Where(n => n.StartsWith("closed_total:", StringComparison.Ordinal) && n[13..] is not ("eof" or "reset"))
            .Concat(after.Keys.Where(n => n.StartsWith("rejected_total", StringComparison.Ordinal))).Sum(More));
        run.None("wrong bytes", wrong);
        foreach (var name in Churned.Alive.Append("tasks_waiting"))
            run.None($"left: {name}", Math.Max(0, name == "descriptors" ? More(name) : after[name]));
        run.AtMost("memory after a collection, of that before", await IdleMemory.CollectedAsync(ours) / rssBefore,
            GrowthMax, isJudged: !run.IsQuick);
        run.Tell("connections a second", Interval.MedianOf(rates));
        run.AtLeast("rate, of a plain socket server's", Interval.MedianOf(ratios), RateMin, isJudged: !run.IsQuick);

        async Task<(Dictionary<string, System.Text.Json.JsonElement> Load, double Rate)> SliceAsync(
            ServerProcess server, int seed)
        {
            var load = await ChurnBench.ChurnAsync(run.Programs, server.Port, slice, seed, isPlain: true);
            return (load, slice * 1000.0 / load["milliseconds"].GetInt64());
        }
    }

    private static Task<ServerProcess> StartAsync(string kind, string? engine) =>
        ServerProcess.StartHostAsync(kind, engine, null, ServerProcess.FreshPort(), false, "--control");
}
