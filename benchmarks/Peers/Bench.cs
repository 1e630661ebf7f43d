namespace Mortise.Peers;

/// <summary>One run: which contestant, which load, which round, and what came out.</summary>
internal sealed record Sample(int Round, string Server, string Load, LoadResult Result);

/// <summary>
/// Interleaves the contestants (A B C, A B C, …) so that a change of the machine's mood meets all of them, and compares
/// each with the others of the same round.
/// </summary>
internal static class Bench
{
    public static async Task<int> RunAsync(string[] args)
    {
        BenchOptions options;
        try
        {
            options = BenchOptions.Parse(args);
        }
        catch (FormatException e)
        {
            Console.Error.WriteLine($"{e.Message}\n{BenchOptions.Usage}");
            return 2;
        }

        if (!OperatingSystem.IsLinux())
        {
            Console.Error.WriteLine("the bench needs Linux: it pins with taskset(1) and reads /proc");
            return 12;
        }

        var load = new LoadGenerator();
        var samples = await MeasureAsync(options, load);
        var summary = new Summary(samples, options.Servers);
        var machine = Machine.Read(load.Name, options);
        Console.WriteLine(summary.ToMarkdown());
        if (options.WritesFile)
            Console.WriteLine($"written: {Results.Write(machine, summary, samples)}");

        var misses = summary.Misses();
        foreach (var miss in misses)
            Console.WriteLine($"not met: {miss}");
        return options.Assert && misses.Count > 0 ? 1 : 0;
    }

    private static async Task<List<Sample>> MeasureAsync(BenchOptions options, LoadGenerator load)
    {
        var samples = new List<Sample>();
        for (var round = 1; round <= options.Rounds; round++)
        {
            foreach (var shape in options.Loads)
            {
                foreach (var kind in options.Servers)
                {
                    using var server = await ServerProcess.StartAsync(kind, options.Cpu);
                    var result = await load.RunAsync(server, shape, options);
                    samples.Add(new Sample(round, kind, shape.ToString(), result));
                    Console.Error.WriteLine($"round {round} {shape,-12} {kind,-16} "
                        + $"{result.MicrosecondsPerMessage,7:F2} us {result.MessagesPerSecond,9:F0}/s");
                }
            }
        }

        return samples;
    }
}
