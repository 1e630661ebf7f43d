using System.Runtime.Versioning;
using Xunit;

namespace Mortise.Tests.Benchmarks;

/// <summary>
/// The long reliability tests in their short form: the same code, seconds in place of minutes. Nothing may be lost,
/// wrong or left behind; memory, rates and latency are judged by <c>./build.sh soak</c> alone, the machine being busy
/// with other tests here.
/// </summary>
[SupportedOSPlatform("linux")]
public sealed class SoakTests
{
    /// <summary>Each, and what it must have said: how much it did.</summary>
    public static TheoryData<string, string> Soaks { get; } = new()
    {
        { "idle", "lost or wrong after the silence: 0 " },
        { "many", "lost or wrong: 0 " },
        { "churn", "connections that ended as they should: 1000 " },
        { "stampede", "unserved: 0 " },
        { "returning", "twice: 0 " },
        { "mixed", "of these lost or wrong: 0 " },
        { "udp", "flood: unaccounted for: 0 " },
        { "chat", "heard in another order than by others: 0 " },
    };

    [Theory, MemberData(nameof(Soaks))]
    public async Task A_soak_in_seconds_passes(string name, string said)
    {
        BenchProgram.SkipUnlessPossible();
        var (exitCode, output, error) = await BenchProgram.RunAsync("soak", name, "--quick");
        Assert.True(exitCode == 0, $"exit code {exitCode}\n{error}\n{output}");
        Assert.Contains(said, output);
        Assert.Contains($"{name}: passed on ", output);
        Assert.EndsWith("1 passed, 0 failed\n", output);
    }

    [Theory, InlineData("io_uring"), InlineData("epoll"), InlineData("managed")]
    public async Task A_stampede_runs_on_the_engine_that_was_asked_for(string engine)
    {
        var output = "";
        // On a busy machine half a second may be over before the first restart: then it is longer.
        for (var milliseconds = 500; milliseconds <= 8000 && !output.Contains("restarted="); milliseconds *= 4)
        {
            (var exitCode, output, var error) = await BenchProgram.RunAsync("stampede", engine, $"{milliseconds}", "7");
            Assert.SkipUnless(exitCode == 0 || !error.Contains("io_uring"), error);
            Assert.True(exitCode == 0, error);
        }

        Assert.Matches("( |^)restarted=[1-9]", output);
    }

    [Fact]
    public async Task A_soak_in_which_nothing_happened_has_failed()
    {
        var (exitCode, output, _) = await BenchProgram.RunAsync("soak", "stampede", "--minutes", "0", "--engine",
            "managed", "--quick");
        Assert.Equal(1, exitCode);
        Assert.Contains("stampede managed: restarted: 0 (at least 1) FAILED", output);
        Assert.EndsWith("0 passed, 1 failed\n", output);
    }

    [Fact]
    public async Task A_soak_that_does_not_exist_is_named()
    {
        var (exitCode, _, error) = await BenchProgram.RunAsync("soak", "sleep");
        Assert.Equal(2, exitCode);
        Assert.Contains("no soak 'sleep'; there are: idle, many, churn, stampede, returning, mixed, udp, chat", error);
    }
}
