using System.Diagnostics;
using System.Runtime.Versioning;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Benchmarks;

/// <summary>The program of <c>./build.sh bench</c> and <c>./build.sh soak</c>, run as a process of its own.</summary>
[SupportedOSPlatform("linux")]
internal static class BenchProgram
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static async Task<(int ExitCode, string Output, string Error)> RunAsync(params string[] arguments)
    {
        // .../tests/Mortise.Tests/bin/CONFIGURATION/net10.0: the bench lies in the same place of its own project.
        var binaries = Path.GetRelativePath(Path.Combine(Repository.Root, "tests/Mortise.Tests"),
            AppContext.BaseDirectory);
        var bench = Path.Combine(Repository.Root, "benchmarks/Peers", binaries, "Mortise.Peers");
        using var process = Process.Start(new ProcessStartInfo(bench, arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            var (output, error) = (process.StandardOutput.ReadToEndAsync(limit.Token),
                process.StandardError.ReadToEndAsync(limit.Token));
            await process.WaitForExitAsync(limit.Token);
            return (process.ExitCode, await output, await error);
        }
        finally
        {
            if (!process.HasExited)
                process.Kill(entireProcessTree: true);
        }
    }

    public static void SkipUnlessPossible() =>
        Assert.SkipUnless(OperatingSystem.IsLinux() && HasCompiler(), "the bench needs Linux and a C compiler");

    private static bool HasCompiler() =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(p => File.Exists(Path.Combine(p, "cc")));
}
