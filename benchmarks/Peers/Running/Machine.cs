using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Mortise.Peers.Running;

/// <summary>Where it was measured: without it a number means nothing.</summary>
internal sealed record Machine(string Date, string Commit, string Processor, int Processors, string MemoryGiB,
    string Kernel, string System, string Runtime, string Native)
{
    /// <summary>benchmarks/results of the tree this was built from.</summary>
    public static string ResultsFolder => Path.Combine(Repository(), "benchmarks", "results");

    /// <summary>Soaks are judged where they run; what they found is not kept with the code.</summary>
    public static string SoakFolder => Path.Combine(Repository(), "artifacts", "soak");

    public static Machine Read(NativePrograms programs) => new(
        DateTime.UtcNow.ToString("yyyy-MM-dd"), ReadCommit(), Value("/proc/cpuinfo", "model name")
            ?? RuntimeInformation.ProcessArchitecture.ToString(), Environment.ProcessorCount,
        $"{GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 30}",
        File.ReadAllText("/proc/sys/kernel/osrelease").Trim(),
        File.Exists("/etc/os-release") ? Value("/etc/os-release", "PRETTY_NAME")?.Trim('"') ?? "Linux" : "Linux",
        RuntimeInformation.FrameworkDescription, programs.Versions);

    /// <summary>The paragraph that stands above every table.</summary>
    public string ToMarkdown() => $"Commit {Commit}. {Processor}, {Processors} processors, {MemoryGiB} GiB; "
        + $"{System}, Linux {Kernel}; {Runtime}; {Native}.";

    private static string? Value(string file, string name) => File.ReadLines(file)
        .FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(':', '=')[^1].Trim();

    private static string ReadCommit()
    {
        var info = new ProcessStartInfo("git", ["describe", "--always", "--dirty", "--exclude=*"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = Repository(),
        };
        using var git = Process.Start(info)!;
        var commit = git.StandardOutput.ReadToEnd().Trim();
        return commit.Length > 0 ? commit : "unknown";
    }

    private static string Repository()
    {
        var folder = AppContext.BaseDirectory;
        while (folder is not null && !File.Exists(Path.Combine(folder, "Mortise.slnx")))
            folder = Path.GetDirectoryName(folder);
        return folder ?? Environment.CurrentDirectory;
    }
}
