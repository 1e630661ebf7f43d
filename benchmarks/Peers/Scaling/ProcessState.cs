using System.Diagnostics;
using System.Globalization;
using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

/// <summary>What the kernel says about a process or the machine, see proc(5).</summary>
internal static class ProcessState
{
    private const double TicksPerSecond = 100; // USER_HZ: a constant of the interface

    /// <summary>Resident memory.</summary>
    public static double RssKiB(int id) => Value($"/proc/{id}/status", "VmRSS:");

    /// <summary>Memory of the kernel's objects that cannot be given back: sockets and their kin.</summary>
    public static double KernelKiB() => Value("/proc/meminfo", "SUnreclaim:");

    public static int Descriptors(int id) => Directory.GetFileSystemEntries($"/proc/{id}/fd").Length;

    public static double CpuSeconds(int id)
    {
        var stat = File.ReadAllText($"/proc/{id}/stat");
        var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
        return (double.Parse(fields[11], CultureInfo.InvariantCulture)
            + double.Parse(fields[12], CultureInfo.InvariantCulture)) / TicksPerSecond;
    }

    /// <summary>Of one CPU, from now on for so long.</summary>
    public static async Task<double> CpuPercentAsync(int id, TimeSpan time)
    {
        var before = CpuSeconds(id);
        await Task.Delay(time);
        return (CpuSeconds(id) - before) / time.TotalSeconds * 100;
    }

    public static long Limit(string path) => long.Parse(File.ReadAllText($"/proc/sys/{path}").Split('\t')[^1],
        CultureInfo.InvariantCulture);

    /// <exception cref="BenchException">It has not so many after half a minute.</exception>
    public static async Task UntilDescriptorsAsync(int id, Func<int, bool> enough)
    {
        for (var since = Stopwatch.StartNew(); !enough(Descriptors(id)); await Task.Delay(50))
            if (since.Elapsed > TimeSpan.FromSeconds(30))
                throw new BenchException($"the server has {Descriptors(id)} descriptors after 30 s");
    }

    private static double Value(string file, string name) => double.Parse(File.ReadLines(file)
        .First(line => line.StartsWith(name, StringComparison.Ordinal))[name.Length..]
        .Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture);
}
