using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>samples/tests: the test project of a user, run as one runs it.</summary>
public sealed class TestingSampleTests
{
    [Fact]
    public async Task The_sample_tests_pass_and_are_tests()
    {
        var program = Path.Combine(Sample.Folder, "tests", "bin", Sample.Configuration, "net10.0", "Samples.Tests.dll");
        var run = await MortiseProcess.RunShellAsync($"dotnet exec '{program}' -noColor");
        Assert.True(run.ExitCode == 0, run.Output + run.Error);
        Assert.Contains("Total: 4, Errors: 0, Failed: 0, Skipped: 0", run.Output, StringComparison.Ordinal);
    }
}
