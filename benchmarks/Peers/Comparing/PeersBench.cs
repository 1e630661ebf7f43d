using System.Text.Json.Serialization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Comparing;

/// <summary>All that a run found out; the raw data file is this.</summary>
internal sealed record PeersData(Machine Machine, int Cpu, int LoadCpu, double SecondsEach, List<Pair> Pairs,
    List<Pair> Latencies, double LatencyPace, List<Allocation> Allocations, List<string> Failures);

/// <summary><c>bench peers</c>: CPU per message of every server as a ratio to the raw C one, and latency.</summary>
internal static class PeersBench
{
    /// <summary>The managed engine's loop and lines can be asked for, but are nobody's target.</summary>
    private static readonly string[] OnRequest = ["mortise-managed-loop", "mortise-managed-lines",
        "mortise-managed-text", "mortise-epoll-text"];

    private static readonly string[] QuickServers =
        ["c-uring", "mortise-uring", "mortise-epoll-loop", "mortise-epoll-lines", "saea", "kestrel"];

    private static readonly string[] LatencyServers = ["c-epoll", "mortise-uring", "mortise-epoll"];

    public static async Task<int> RunAsync(BenchOptions options)
    {
        var servers = options.Servers ?? [.. Contestant.All
            .Where(c => options.Quick ? QuickServers.Contains(c.Name) : !OnRequest.Contains(c.Name))];
        var loads = options.Loads ?? (options.Quick ? [LoadShape.All[1]] : LoadShape.All);
        var rounds = options.Rounds ?? (options.Quick ? 1 : 15);
        var programs = NativePrograms.Build([.. servers.Select(s => s.Name), "load", Contestant.Measure]);
        var runner = new PairRunner(programs, options);
        var data = new PeersData(Machine.Read(programs), options.Cpu, options.LoadCpu, runner.SecondsEach, [], [],
            0, [], [.. programs.Missing.Select(m => $"{m.Key}: {m.Value}")]);
        servers = [.. servers.Where(s => !programs.Missing.ContainsKey(s.Name))];
        servers = await WithoutMissingEnginesAsync(servers, programs, data.Failures);
        var missing = data.Failures.Count;
        Contestant[] judged = [.. servers.Where(s => Target.Of(s.Name, $"{LoadShape.All[0]}") is not null)];

        if (options.Ratios)
            foreach (var server in servers.Where(s => s.Family != Family.Native))
                await TryAsync(data.Allocations, data.Failures, $"allocations {server.Name}",
                    () => Allocation.MeasureAsync(server, programs, options), a => $"{a.BytesPerMessage,5:F2} bytes");
        if (options.Latency)
            data = data with { LatencyPace = Math.Round(await runner.SaturationAsync(LoadShape.All[1]) / 2) };
        for (var round = 1; round <= rounds; round++)
        {
            if (options.Ratios)
            {
                var racing = round <= (options.OtherRounds ?? rounds) ? servers : judged;
                await CompareAsync(runner, round, racing, loads, data);
            }

            if (options.Latency)
                await PaceAsync(runner, round, servers, data);
            Write(options, data);
        }

        Console.WriteLine(new PeersPage(data).ToMarkdown());
        foreach (var failure in data.Failures)
            Console.Error.WriteLine($"failed: {failure}");
        return data.Failures.Count > missing ? 1 : 0;
    }

    private static async Task<Contestant[]> WithoutMissingEnginesAsync(Contestant[] servers, NativePrograms programs,
        List<string> missing)
    {
        var reasons = new Dictionary<string, string?>();
        foreach (var server in servers.Where(s => s.Engine is not null).DistinctBy(s => s.Engine))
            reasons[server.Engine!] = await ServerProcess.WhyNotAsync(server, programs);
        bool IsMissing(Contestant server) => server.Engine is not null && reasons[server.Engine] is not null;
        missing.AddRange(servers.Where(IsMissing).Select(s => $"{s.Name}: {reasons[s.Engine!]}"));
        return [.. servers.Where(s => !IsMissing(s))];
    }

    private static async Task CompareAsync(PairRunner runner, int round, Contestant[] servers, LoadShape[] loads,
        PeersData data)
    {
        foreach (var shape in loads)
            foreach (var server in Rotated(servers, round))
                if (!(server.TakesLines && shape.IsStream)) // a stream has no messages to frame
                    await TryAsync(data.Pairs, data.Failures, $"round {round} {shape} {server.Name}",
                        () => runner.RunAsync(round, server, shape),
                        pair => $"{pair.CpuRatio,5:F2}  {pair.Its.ServerCpuNs / 1000 / pair.Its.Messages,8:F2} us");
    }

    private static async Task PaceAsync(PairRunner runner, int round, Contestant[] servers, PeersData data)
    {
        foreach (var server in Rotated([.. LatencyServers.Select(Contestant.Named)], round))
            if (server.Name == Contestant.Measure || servers.Contains(server))
                await TryAsync(data.Latencies, data.Failures, $"round {round} paced {server.Name}",
                    () => runner.PaceAsync(round, server, LoadShape.All[1], data.LatencyPace),
                    pair => $"{pair.P99Ratio,5:F2}  p99 {pair.Its.P99Ns / 1000,8:F1} us");
    }

    private static IEnumerable<Contestant> Rotated(Contestant[] servers, int round) =>
        servers.Select((_, i) => servers[(i + round) % servers.Length]);

    /// <summary>One that fails does not end the others' hour.</summary>
    private static async Task TryAsync<T>(List<T> found, List<string> failures, string what, Func<Task<T>> run,
        Func<T, string> tell)
    {
        try
        {
            found.Add(await run());
            Console.Error.WriteLine($"{what,-48} {tell(found[^1])}");
        }
        catch (BenchException e)
        {
            failures.Add($"{what}: {e.Message}");
            Console.Error.WriteLine($"{what,-48} failed: {e.Message}");
        }
    }

    private static void Write(BenchOptions options, PeersData data) => ResultFiles.Write(options.Folder, "peers",
        data.Machine, new PeersPage(data).ToMarkdown(), data, PeersJson.Default.PeersData);
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(PeersData))]
internal sealed partial class PeersJson : JsonSerializerContext;
