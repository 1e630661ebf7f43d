using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>Which engine serves, who decides, and that it is said.</summary>
public sealed class EngineChoiceTests
{
    private const string Denied = "io_uring_setup: EPERM (denied)";

    [Theory]
    [InlineData(EngineKind.Auto, null, true, null, EngineKind.IoUring, "io_uring (kernel ")]
    [InlineData(EngineKind.Auto, "", true, Denied, EngineKind.Epoll, "epoll: " + Denied)]
    [InlineData(EngineKind.Auto, null, false, null, EngineKind.Managed, "managed: not Linux")]
    [InlineData(EngineKind.Auto, "epoll", true, null, EngineKind.Epoll, "epoll: forced by MORTISE_ENGINE")]
    [InlineData(EngineKind.Auto, "managed", true, null, EngineKind.Managed, "managed: forced by MORTISE_ENGINE")]
    [InlineData(EngineKind.Auto, "auto", true, Denied, EngineKind.Epoll, "epoll: " + Denied)]
    [InlineData(EngineKind.Managed, "epoll", true, null, EngineKind.Managed, "managed: asked for")]
    [InlineData(EngineKind.Epoll, "io_uring", true, Denied, EngineKind.Epoll, "epoll: asked for")]
    public void The_program_decides_then_the_environment_then_what_works(EngineKind asked, string? forced, bool isLinux,
        string? uringFailure, EngineKind kind, string about)
    {
        var choice = EngineChoice.Make(asked, forced, isLinux, () => uringFailure);
        Assert.Equal(kind, choice.Kind);
        Assert.StartsWith(about, choice.About, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(EngineKind.IoUring, null, true, Denied)]
    [InlineData(EngineKind.Auto, "io_uring", true, Denied)]
    [InlineData(EngineKind.Epoll, null, false, "Linux")]
    public void An_engine_that_was_asked_for_is_never_replaced_in_silence(EngineKind asked, string? forced,
        bool isLinux, string reason)
    {
        var refused = Assert.Throws<UnsupportedException>(
            () => EngineChoice.Make(asked, forced, isLinux, () => Denied));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_engine_that_nobody_built_is_refused_with_those_that_are()
    {
        var refused = Assert.Throws<InvalidSettingException>(
            () => EngineChoice.Make(EngineKind.Auto, "kqueue", true, () => null));
        Assert.Contains("MORTISE_ENGINE=kqueue", refused.Message, StringComparison.Ordinal);
        Assert.Contains("auto, io_uring, epoll, managed", refused.Message, StringComparison.Ordinal);
    }

    [Theory, InlineData(-1), InlineData(257)]
    public void A_number_of_loops_out_of_range_is_refused(int loops) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new TransportOptions { Loops = loops });

    [Theory]
    [InlineData("choose one of auto, io_uring, epoll, managed", "--engine", "iocp")]
    [InlineData("0 for one for each CPU", "--loops", "300")]
    [InlineData("the managed engine has no event loops", "--engine", "managed", "--loops", "4")]
    public async Task The_command_refuses_what_cannot_be_chosen(string says, params string[] flags)
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", ":0", .. flags]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(says, run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_environment_forces_an_engine_and_one_line_says_so()
    {
        var wrong = await MortiseProcess.RunShellAsync("MORTISE_ENGINE=kqueue mortise serve echo :0");
        Assert.Equal(2, wrong.ExitCode);
        await using var server = MortiseProcess.Shell("export MORTISE_ENGINE=managed; exec $MORTISE serve echo :0");
        await server.ErrorAsync("^engine managed: forced by MORTISE_ENGINE$");
        await server.OutputAsync("^listening tcp://127.0.0.1:[0-9]+ \\(backlog ");
        Assert.Single(server.ErrorLines, l => l.StartsWith("engine ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Loops_that_the_environment_takes_away_are_told()
    {
        await using var server = MortiseProcess.Shell(
            "export MORTISE_ENGINE=managed; exec $MORTISE serve echo :0 --loops 2");
        await server.ErrorAsync("^engine managed: forced by MORTISE_ENGINE, without the 2 event loops asked for$");
    }

    [Fact]
    public void Loops_and_urgent_data_exclude_each_other() => Assert.Contains("urgent data",
        Assert.Throws<InvalidSettingException>(() => SocketServer.Start(":0", _ => Task.CompletedTask, o =>
        {
            o.Transport.UrgentData = true;
            o.Transport.Loops = 2;
        })).Message, StringComparison.Ordinal);
}
