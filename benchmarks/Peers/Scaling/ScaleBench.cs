using System.Text.Json.Serialization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Scaling;

/// <summary>All that a run found out; the raw data file is this.</summary>
internal sealed record ScaleData(Machine Machine, double IdleSeconds, List<IdleMemory> Idle, List<ManyProcesses> Many,
    List<EchoBesideIdle> Beside, List<string> Failures);

/// <summary><c>bench scale</c>: what an idle connection costs, and what many of them cost the others.</summary>
internal static class ScaleBench
{
    private const int DescriptorsMax = 18_000;

    private sealed record Sizes(int Idle, TimeSpan IdleTime, int Many, int Processes, int Beside, int Rounds,
        TimeSpan Window, TimeSpan WarmMax);

    public static async Task<int> RunAsync(BenchOptions options)
    {
        var quick = options.Quick;
        var sizes = new Sizes(options.Connections ?? (quick ? 300 : DescriptorsMax),
            TimeSpan.FromSeconds(options.IdleSeconds ?? (quick ? 0.5 : 20)), quick ? 400 : 100_000, quick ? 2 : 6,
            quick ? 200 : 15_000, options.Rounds ?? (quick ? 1 : 15),
            TimeSpan.FromSeconds((options.Seconds ?? (quick ? 0.2 : 0.6)) / 2),
            TimeSpan.FromSeconds(quick ? 0.2 : 8));
        var programs = NativePrograms.Build(["load", "hold"]);
        var data = new ScaleData(Machine.Read(programs), sizes.IdleTime.TotalSeconds, [], [], [], []);
        var ours = await EnginesAsync(options, programs, data.Failures);
        var missing = data.Failures.Count;

        foreach (var (kind, engine) in Kinds(ours, options))
            await TryAsync(data, $"idle {kind}", async () => data.Idle.Add(
                await IdleMemory.MeasureAsync(kind, engine, sizes.Idle, sizes.IdleTime, programs)));
        var crowded = ours.Where(e => quick || options.Servers is not null || e.Engine != "managed");
        foreach (var engine in options.OnlyIdle ? [] : crowded)
        {
            await TryAsync(data, $"many {engine.Name}", async () => data.Many.Add(await ManyProcesses.MeasureAsync(
                engine.Name, engine.Engine, sizes.Processes, sizes.Many, DescriptorsMax, programs)));
            await TryAsync(data, $"echo beside idle {engine.Name}", async () => data.Beside.AddRange(
                await EchoBesideIdle.MeasureAsync(engine, sizes.Beside, sizes.Rounds, sizes.Window, sizes.WarmMax,
                    programs, options)));
        }

        var page = new ScalePage(data).ToMarkdown();
        Console.WriteLine(page);
        ResultFiles.Write(options.Folder, "scale", data.Machine, page, data, ScaleJson.Default.ScaleData);
        return data.Failures.Count > missing ? 1 : 0;
    }

    /// <summary>What was asked for; else ours, bare and with everything a server has, then the others.</summary>
    private static IEnumerable<(string Kind, string? Engine)> Kinds(Contestant[] ours, BenchOptions options)
    {
        if (options.Servers is { } asked)
        {
            foreach (var server in asked.Where(s => s.Family == Family.DotNet || ours.Contains(s)))
                yield return (server.Name, server.Engine);
            yield break;
        }

        foreach (var engine in ours)
        {
            yield return ($"{engine.Name}-bare", engine.Engine);
            yield return (engine.Name, engine.Engine);
        }

        string[] others = options.Quick ? ["socket"] : ["socket", "kestrel"];
        foreach (var other in others)
            yield return (other, null);
    }

    /// <summary>The engines that this machine has; one is enough to show that the bench works.</summary>
    private static async Task<Contestant[]> EnginesAsync(BenchOptions options, NativePrograms programs,
        List<string> missing)
    {
        var wanted = options.Servers?.Where(s => s.Family == Family.Mortise)
            ?? new[] { "mortise-uring", "mortise-epoll", "mortise-managed" }.Select(Contestant.Named);
        var found = new List<Contestant>();
        foreach (var server in wanted)
        {
            if (await ServerProcess.WhyNotAsync(server, programs) is { } reason)
                missing.Add($"{server.Name}: {reason}");
            else if (!options.Quick || found.Count == 0)
                found.Add(server);
        }

        return [.. found];
    }

    private static async Task TryAsync(ScaleData data, string what, Func<Task> run)
    {
        try
        {
            Console.Error.WriteLine(what);
            await run();
        }
        catch (BenchException e)
        {
            data.Failures.Add($"{what}: {e.Message}");
            Console.Error.WriteLine($"{what} failed: {e.Message}");
        }
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(ScaleData))]
internal sealed partial class ScaleJson : JsonSerializerContext;
