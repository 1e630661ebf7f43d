using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Mortise.Peers;

/// <summary>Where and how it was measured: without it a number means nothing.</summary>
internal sealed record Machine(
    string Date, string Commit, string Processor, int Processors, string Kernel, string Runtime,
    string Load, int Rounds, double WarmSeconds, double MeasureSeconds, int Cpu, int Seed)
{
    public static Machine Read(string load, BenchOptions options) => new(
        DateTime.UtcNow.ToString("yyyy-MM-dd"), ReadCommit(), ProcessorModel(), Environment.ProcessorCount,
        File.ReadAllText("/proc/sys/kernel/osrelease").Trim(), RuntimeInformation.FrameworkDescription, load,
        options.Rounds, options.WarmSeconds, options.MeasureSeconds, options.Cpu, options.Seed);

    private static string ProcessorModel() => File.ReadLines("/proc/cpuinfo")
        .FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(": ")[^1]
        ?? RuntimeInformation.ProcessArchitecture.ToString();

    private static string ReadCommit()
    {
        var info = new ProcessStartInfo("git", ["describe", "--always", "--dirty", "--exclude=*"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var git = Process.Start(info)!;
        var commit = git.StandardOutput.ReadToEnd().Trim();
        return commit.Length > 0 ? commit : "unknown";
    }
}

internal sealed record ResultsFile(Machine Machine, IReadOnlyList<SummaryRow> Medians, List<Sample> Samples);

/// <summary>Writes benchmarks/results/managed-DATE.json (every run) and .md (the table).</summary>
internal static class Results
{
    public static string Write(Machine machine, Summary summary, List<Sample> samples)
    {
        var folder = Path.Combine(Repository(), "benchmarks", "results");
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, $"managed-{machine.Date}");
        File.WriteAllText(path + ".json", JsonSerializer.Serialize(
            new ResultsFile(machine, summary.Rows, samples), ResultsJson.Default.ResultsFile) + "\n");
        File.WriteAllText(path + ".md", $"""
            # Managed against a plain socket and Kestrel, {machine.Date}

            Commit {machine.Commit}; {machine.Processor}, {machine.Processors} processors; Linux {machine.Kernel};
            {machine.Runtime}. Load: {machine.Load}; server and load share CPU {machine.Cpu}.
            Medians of {machine.Rounds} interleaved rounds, a fresh process and port each: {machine.WarmSeconds} s
            warm-up (longer until the JIT is quiet), {machine.MeasureSeconds} s measured. A ratio is the median of the
            rounds' own ratios. Loads are connections x bytes x messages on the way per connection.

            {summary.ToMarkdown()}
            """.ReplaceLineEndings("\n"));
        return path + ".json";
    }

    private static string Repository()
    {
        var folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Mortise.slnx")))
            folder = Path.GetDirectoryName(folder);
        return folder ?? Environment.CurrentDirectory;
    }
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals)]
[JsonSerializable(typeof(ResultsFile))]
internal sealed partial class ResultsJson : JsonSerializerContext;
