using System.Diagnostics;
using System.Text;
using System.Text.Json.Serialization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Soaking;

/// <summary>What a soak found on an engine; <paramref name="Failure"/> says why it did not come to its end.</summary>
internal sealed record Soaked(string Soak, string Engine, double Seconds, IReadOnlyList<Figure> Figures,
    string? Failure)
{
    public bool IsPassed => Failure is null && Figures.All(f => f.IsReached != false);
}

internal sealed record SoakData(Machine Machine, int Seed, bool Quick, List<Soaked> Runs);

/// <summary><c>soak</c>: the reliability tests that take minutes, one after the other.</summary>
internal static class SoakBench
{
    public static async Task<int> RunAsync(string[] args)
    {
        if (args is ["help" or "--help" or "-h", ..])
        {
            Console.WriteLine(Soak.Usage);
            return 0;
        }

        var name = args is [var first, ..] && !first.StartsWith('-') ? first : null;
        var soaks = name is null ? Soak.All : [Soak.Named(name)];
        var options = BenchOptions.Parse(name is null ? args : args[1..], Machine.SoakFolder);
        var programs = NativePrograms.Build(["load", "hold", "churn"]);
        var data = new SoakData(Machine.Read(programs), options.Seed, options.Quick, []);
        foreach (var soak in soaks)
        {
            await RunAsync(soak, options, programs, data);
            ResultFiles.Write(options.Folder, name is null ? "soak" : $"soak-{name}", data.Machine, Page(data), data,
                SoakJson.Default.SoakData);
        }

        var passed = 0;
        foreach (var runs in data.Runs.GroupBy(r => r.Soak))
        {
            var isPassed = runs.All(r => r.IsPassed);
            passed += isPassed ? 1 : 0;
            Console.WriteLine($"{runs.Key}: {(isPassed ? "passed" : "FAILED")} on "
                + $"{string.Join(", ", runs.Select(r => r.Engine))} in {runs.Sum(r => r.Seconds):F0} s"
                + string.Concat(runs.SelectMany(Complaints).Select(c => $"; {c}")));
        }

        Console.WriteLine($"{passed} passed, {soaks.Length - passed} failed");
        return passed == soaks.Length ? 0 : 1;
    }

    private static async Task RunAsync(Soak soak, BenchOptions options, NativePrograms programs, SoakData data)
    {
        var isRun = false;
        foreach (var engine in options.Engine is { } one ? [one] : soak.Engines)
        {
            if (isRun && (soak.OnOneEngine || (options.Quick && soak.Name is not ("stampede" or "returning"))))
                return;
            var server = Contestant.OnEngine(engine);
            if (await ServerProcess.WhyNotAsync(server, programs) is { } reason)
            {
                Console.WriteLine($"{soak.Name} {engine}: not on this machine: {reason}");
                continue;
            }

            isRun = true;
            var run = new SoakRun(soak.Name, server.Name, engine, options, programs);
            var watch = Stopwatch.StartNew();
            string? failure = null;
            try
            {
                await soak.RunAsync(run);
            }
            catch (Exception e) when (e is BenchException or IOException or System.Net.Sockets.SocketException)
            {
                // a server or a load that died must not take the other soaks, nor the summary, with it
                failure = e.Message;
                Console.WriteLine($"{soak.Name} {engine}: {failure} FAILED");
            }

            data.Runs.Add(new(soak.Name, engine, watch.Elapsed.TotalSeconds, run.Figures, failure));
        }

        if (!isRun)
            data.Runs.Add(new(soak.Name, options.Engine ?? "none", 0, [], "no engine that it could run on"));
    }

    private static IEnumerable<string> Complaints(Soaked run) =>
        [.. run.Figures.Where(f => f.IsReached == false).Select(f => $"{run.Engine} {f}"),
            .. run.Failure is null ? Array.Empty<string>() : [$"{run.Engine}: {run.Failure}"]];

    private static string Page(SoakData data)
    {
        var text = new StringBuilder($"# Soaks, {data.Machine.Date}\n\n{data.Machine.ToMarkdown()} ").Append(
            $"Seed {data.Seed}.\n\n| soak | engine | seconds | figure | value | target | verdict |\n").Append(
            "|---|---|---:|---|---:|---|---|\n");
        foreach (var run in data.Runs)
        {
            foreach (var f in run.Figures)
                text.Append(FormattableString.Invariant($"| {run.Soak} | {run.Engine} | {run.Seconds:F0} | {f.Name} "))
                    .Append(FormattableString.Invariant($"| {f.Value:0.##} {f.Unit} | {f.Target} "))
                    .Append($"| {f.IsReached switch { true => "reached", false => "**not reached**", _ => "" }} |\n");
            if (run.Failure is { } failure)
                text.Append($"| {run.Soak} | {run.Engine} | {run.Seconds:F0} | {failure} | | | **failed** |\n");
        }

        return text.ToString();
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(SoakData))]
internal sealed partial class SoakJson : JsonSerializerContext;
