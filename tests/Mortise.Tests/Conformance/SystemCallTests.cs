using System.Diagnostics;
using System.Text.RegularExpressions;
using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>What the kernel was really asked: this test program runs one of its own tests under strace.</summary>
[Collection("alone")]
public sealed partial class SystemCallTests
{
    [Fact]
    public async Task Gathered_buffers_reach_the_kernel_in_one_sendmsg()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/strace"), "strace is not installed");
        var trace = Path.GetTempFileName();
        using var child = Process.Start(new ProcessStartInfo("/usr/bin/strace",
        [
            "-f", "-e", "trace=sendmsg", "-e", "signal=none", "-o", trace, Environment.ProcessPath!,
            .. Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal)
                ? (string[])["exec", typeof(SystemCallTests).Assembly.Location] : [],
            "-method", "*.CallTests.Scatter_fills_buffers*", "-noLogo", "-noAutoReporters",
        ])
        { RedirectStandardOutput = true, RedirectStandardInput = true })!;
        child.StandardInput.Close();
        var output = await child.StandardOutput.ReadToEndAsync().WaitAsync(TimeSpan.FromSeconds(60));
        await child.WaitForExitAsync(Limits.Soon);
        var calls = await File.ReadAllLinesAsync(trace);
        File.Delete(trace);
        Assert.SkipWhen(calls.Any(l => l.Contains("PTRACE", StringComparison.Ordinal)), "ptrace is not permitted here");
        Assert.Contains("Failed: 0", output, StringComparison.Ordinal);
        var gathered = calls.Select(l => Whole().Match(l)).FirstOrDefault(m => m.Success);
        Assert.True(gathered is not null, $"no sendmsg of 15,000 bytes in {calls.Length} calls");
        Assert.InRange(int.Parse(gathered.Groups[1].Value), 2, 16);
        Row.Observed("I13", $"strace: 3 segments of 5000 B left in one sendmsg with iovcnt={gathered.Groups[1].Value}, "
            + "= 15000; received into buffers of 10 and 90 B in order");
        Row.Observed("I14", $"strace: sendmsg(…, msg_iovlen={gathered.Groups[1].Value}, …) = 15000");
    }

    [GeneratedRegex(@"sendmsg\(.*msg_iovlen=(\d+).*\) = 15000")]
    private static partial Regex Whole();
}
