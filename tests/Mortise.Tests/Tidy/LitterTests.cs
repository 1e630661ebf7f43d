using System.Diagnostics;
using Xunit;

namespace Mortise.Tests.Tidy;

/// <summary>A run of the tests leaves the system's temporary folder as it was.</summary>
public sealed class LitterTests
{
    [Fact]
    public async Task What_tests_and_killed_children_leave_behind_goes_with_the_run()
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "TMPDIR is Unix's");
        var folder = Directory.CreateTempSubdirectory("litter-").FullName;
        using var child = Process.Start(new ProcessStartInfo(Environment.ProcessPath!,
        [
            .. Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal)
                ? (string[])["exec", typeof(LitterTests).Assembly.Location] : [],
            "-method", "*.ServeEchoTests.A_unix_server_removes_its_file_and_clears_a_stale_one",
            "-noLogo", "-noAutoReporters",
        ])
        {
            RedirectStandardOutput = true,
            RedirectStandardInput = true,
            Environment = { ["TMPDIR"] = folder },
        })!;
        child.StandardInput.Close();
        var output = await child.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromMinutes(2));
        await child.WaitForExitAsync(new CancellationTokenSource(TimeSpan.FromSeconds(20)).Token);
        Assert.Contains("Failed: 0", output, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFileSystemEntries(folder));
    }
}
