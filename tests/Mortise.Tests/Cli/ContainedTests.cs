using System.Diagnostics;
using Mortise.Tests.Conformance;
using Mortise.Tests.Tidy;
using Mortise.Transports.Uring;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>Where io_uring is denied, as in containers, all works, and one line says what serves and why.</summary>
public sealed class ContainedTests
{
    private const int Eperm = 1, Enosys = 38;

    private static readonly Lazy<string?> Launcher = new(Compile);

    [Theory]
    [InlineData(Eperm, "io_uring_setup: EPERM \\(denied by a seccomp filter")]
    [InlineData(Enosys, "io_uring_setup: ENOSYS \\(this kernel has no io_uring, or a seccomp filter hides it")]
    public async Task A_filter_that_denies_io_uring_leaves_epoll_and_one_line(int errno, string why)
    {
        SkipWithoutLauncher();
        // The command as people run it (not the script, which would build it first).
        await using var server = MortiseProcess.Shell(
            $"export MORTISE_ENGINE=auto; exec {Launcher.Value} {errno} $MORTISE serve echo :0");
        await server.ErrorAsync($"^engine epoll: {why}");
        await EchoAsync(server);
        Assert.Single(server.ErrorLines, l => l.StartsWith("engine ", StringComparison.Ordinal));
        server.Signal("TERM");
        Assert.Equal(0, await server.ExitAsync());
        Row.Observed("T28", $"seccomp answers io_uring_setup with errno {errno}: {server.ErrorLines[0]}; echo served");
    }

    [Fact]
    public async Task The_doctor_says_that_a_filter_denies_io_uring_and_what_would_change_it()
    {
        SkipWithoutLauncher();
        var run = await MortiseProcess.RunShellAsync(
            $"export MORTISE_ENGINE=auto; exec {Launcher.Value} {Eperm} $MORTISE doctor");
        Assert.Equal(0, run.ExitCode);
        Assert.Matches(@"(?m)^ok    engine +epoll +carries TCP and Unix streams here: io_uring_setup: EPERM \(",
            run.Output);
        Assert.Matches(@"(?m)^note  io_uring +refused +io_uring_setup: EPERM \(denied by a seccomp filter.*\n"
            + " +→ a seccomp profile that allows io_uring_setup, ", run.Output);
        Assert.Matches("(?m)^ok    epoll +serves ", run.Output);
    }

    [Fact]
    public async Task An_engine_that_is_denied_and_asked_for_by_name_is_an_error_and_not_another_engine()
    {
        SkipWithoutLauncher();
        foreach (var asked in (string[])["$MORTISE serve echo :0 --engine io_uring",
            "env MORTISE_ENGINE=io_uring $MORTISE serve echo :0"])
        {
            var run = await MortiseProcess.RunShellAsync($"exec {Launcher.Value} {Eperm} {asked}");
            Assert.Equal(12, run.ExitCode);
            Assert.Contains("io_uring_setup: EPERM", run.Error, StringComparison.Ordinal);
            Assert.Empty(run.Output);
        }
    }

    [Theory, InlineData("io_uring"), InlineData("epoll"), InlineData("managed")]
    public async Task The_environment_forces_each_engine(string engine)
    {
        Assert.SkipWhen(engine == "io_uring" && UringProbe.Failure is not null, $"no io_uring: {UringProbe.Failure}");
        await using var server = MortiseProcess.Shell($"MORTISE_ENGINE={engine} exec $MORTISE serve echo :0 --loops 2");
        await server.ErrorAsync($"^engine {engine}.*: forced by MORTISE_ENGINE(, without the 2 event .*)?$");
        await EchoAsync(server);
        server.Signal("TERM");
        Assert.Equal(0, await server.ExitAsync());
    }

    private static async Task EchoAsync(MortiseProcess server)
    {
        var listening = await server.OutputAsync("^listening (\\S+) ");
        var endpoint = Endpoint.Parse(listening.Groups[1].Value);
        var bytes = Limits.Bytes(100_000);
        Assert.Equal(bytes, await ServeClient.AskAsync(endpoint, bytes).InTime());
    }

    private static void SkipWithoutLauncher() =>
        Assert.SkipWhen(Launcher.Value is null, "no C compiler, or no Linux: nothing can set the filter");

    private static string? Compile()
    {
        if (!OperatingSystem.IsLinux() || !File.Exists("/usr/bin/cc"))
            return null;
        var source = Path.Combine(Repository.Root, "tests/Mortise.Tests/Transports/Linux/native/deny_io_uring.c");
        var program = Path.Combine(AppContext.BaseDirectory, "deny_io_uring");
        using var compiler = Process.Start("/usr/bin/cc", ["-O1", "-Wall", "-Werror", "-o", program, source]);
        compiler.WaitForExit();
        return compiler.ExitCode == 0 ? program : throw new InvalidOperationException("cc failed; see its output");
    }
}
