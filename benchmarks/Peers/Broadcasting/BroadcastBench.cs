using System.Text.Json.Serialization;
using Mortise.Peers.Comparing;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Broadcasting;

/// <summary>All that a run found out; the raw data file is this.</summary>
internal sealed record BroadcastData(Machine Machine, int Cpu, double SecondsEach, List<Pair> Pairs,
    List<string> Failures);

/// <summary>
/// <c>bench broadcast</c>: one client speaks, all others hear it; CPU of the server per delivery as a ratio to a raw C
/// epoll loop that writes the same bytes to the same sockets.
/// </summary>
internal static class BroadcastBench
{
    public const string Measure = "c-broadcast";

    /// <summary>At least so many deliveries per CPU-second as the raw C server, by the first load.</summary>
    public const double DeliveriesMin = 0.9;

    /// <summary>Members × bytes × lines said at once.</summary>
    private static readonly LoadShape[] Loads = [new(1000, 64, 1), new(1000, 64, 16), new(10_000, 64, 1)];

    private static readonly string[] Servers = ["mortise-uring-broadcast", "mortise-epoll-broadcast"];

    public static async Task<int> RunAsync(BenchOptions options)
    {
        var loads = options.Loads ?? (options.Quick ? [new(100, 64, 1)] : Loads);
        var programs = NativePrograms.Build([Measure, "crowd"]);
        var runner = new PairRunner(programs, options, Measure, "crowd");
        var data = new BroadcastData(Machine.Read(programs), options.Cpu, runner.SecondsEach, [], []);
        var servers = (options.Servers ?? [.. Servers.Select(Contestant.Named)]).ToList();
        foreach (var server in servers.ToList())
        {
            if (await ServerProcess.WhyNotAsync(server, programs) is not { } reason)
                continue;
            data.Failures.Add($"{server.Name}: {reason}");
            servers.Remove(server);
        }

        var missing = data.Failures.Count;
        for (var round = 1; round <= (options.Rounds ?? (options.Quick ? 1 : 15)); round++)
        {
            foreach (var load in loads)
                foreach (var server in servers)
                    await CompareAsync(runner, round, server, load, data);
            ResultFiles.Write(options.Folder, "broadcast", data.Machine, BroadcastPage.Write(data), data,
                BroadcastJson.Default.BroadcastData);
        }

        Console.WriteLine(BroadcastPage.Write(data));
        return data.Failures.Count > missing ? 1 : 0;
    }

    private static async Task CompareAsync(PairRunner runner, int round, Contestant server, LoadShape load,
        BroadcastData data)
    {
        var what = $"round {round} {load} {server.Name}";
        try
        {
            var pair = await runner.RunAsync(round, server, load);
            data.Pairs.Add(pair);
            Console.Error.WriteLine($"{what,-48} {1 / pair.CpuRatio,5:F2}  "
                + $"{pair.Its.ServerCpuNs / pair.Its.Messages,6:F0} ns each");
        }
        catch (BenchException e)
        {
            data.Failures.Add($"{what}: {e.Message}"); // one that fails does not end the others' hour
            Console.Error.WriteLine($"{what,-48} failed: {e.Message}");
        }
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(BroadcastData))]
internal sealed partial class BroadcastJson : JsonSerializerContext;
