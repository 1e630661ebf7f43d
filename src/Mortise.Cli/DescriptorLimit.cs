using Mortise.Cli.Lookup;

namespace Mortise.Cli;

/// <summary>
/// A limit of open files so low that .NET fails while it loads the program: "could not load file or assembly", "out of
/// memory", or an abort, each time somewhere else. So it is looked at before anything else happens.
/// </summary>
internal static class DescriptorLimit
{
    /// <summary>The runtime and its assemblies take about 70, a loop three more.</summary>
    private const int FilesMin = 80;

    /// <summary>True where nothing but saying so can be expected to work.</summary>
    public static bool IsTooLow(out long files)
    {
        (files, _) = KernelFacts.Limit("Max open files") ?? (long.MaxValue, 0);
        return files < FilesMin;
    }

    /// <summary>Says it; the exit code.</summary>
    public static int Tell(long files)
    {
        Console.Error.WriteLine(
            $"mortise: start: the limit of open files is {files}, and .NET alone needs about 70 (EMFILE 24)");
        Console.Error.WriteLine("  try: raise it first: ulimit -n 1024");
        return ExitCodes.Exhausted;
    }
}
