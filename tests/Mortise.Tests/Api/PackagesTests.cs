using System.Diagnostics;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Api;

/// <summary>We ship packages, not the tree: an empty project of a stranger has to be able to use them.</summary>
public sealed class PackagesTests
{
    private static readonly TimeSpan PackTimeout = TimeSpan.FromMinutes(4);

    [Fact]
    public async Task A_stranger_installs_the_library_and_the_command_from_the_packages()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() || OperatingSystem.IsMacOS(), "build.sh needs a POSIX shell");
        using var pack = Process.Start(new ProcessStartInfo(Path.Combine(Repository.Root, "build.sh"), "pack")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        using var limit = new CancellationTokenSource(PackTimeout);
        try
        {
            var (said, complained) = (pack.StandardOutput.ReadToEndAsync(limit.Token),
                pack.StandardError.ReadToEndAsync(limit.Token));
            await pack.WaitForExitAsync(limit.Token);
            Assert.True(pack.ExitCode == 0, $"exit {pack.ExitCode}\n{await said}\n{await complained}");
        }
        finally
        {
            if (!pack.HasExited)
                pack.Kill(entireProcessTree: true);
        }
    }
}
