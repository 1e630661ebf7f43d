using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>What a server does with a disk that is full: it says so by name, and its peers do not pay for it.</summary>
public sealed class ServeDiskTests
{
    [Fact]
    public async Task Standard_output_without_room_is_exit_13_and_named()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/dev/full is Linux's");
        foreach (var command in (string[])["serve echo :0", "serve echo :0 --json", "--help", "explain 98"])
        {
            var run = await MortiseProcess.RunShellAsync($"mortise {command} > /dev/full");
            Assert.Equal(13, run.ExitCode);
            Assert.Contains("no space is left (ENOSPC 28)", run.Error);
            Assert.Contains("df -h", run.Error);
        }
    }

    [Fact]
    public async Task A_log_that_cannot_grow_costs_lines_not_the_server()
    {
        var run = await OnTinyDiskAsync("""
            $MORTISE serve echo unix:/mnt/s --ready-file $TMPDIR/$$.ready --json > /mnt/log &
            until [ -e $TMPDIR/$$.ready ]; do sleep 0.05; done
            for i in $(seq 40); do printf hi | nc -NU -w5 /mnt/s; done
            kill $!; wait $!; echo " exit $?"
            """);
        Assert.Equal(string.Concat(Enumerable.Repeat("hi", 40)) + " exit 0", run.Output);
        Assert.Contains("warning: standard output cannot be written, the log loses lines: No space left", run.Error);
        Assert.DoesNotContain("threw", run.Error);
    }

    [Fact]
    public async Task A_ready_file_without_room_is_exit_13_and_leaves_nothing_behind()
    {
        var run = await OnTinyDiskAsync("""
            head -c 4096 /dev/zero > /mnt/fill
            $MORTISE serve echo :0 --ready-file /mnt/ready; echo exit $?; ls /mnt
            """);
        Assert.EndsWith("exit 13\nfill", run.Output.ReplaceLineEndings("\n"));
        Assert.Contains("/mnt/ready: no space is left (ENOSPC 28)", run.Error);
    }

    [Fact]
    public async Task A_ready_file_in_a_missing_directory_names_the_directory()
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", ":0", "-v", "--ready-file", "/no/such/ready"]);
        Assert.Equal(2, run.ExitCode);
        Assert.DoesNotContain("Exception", run.Error); // not even with -v: it is explained
        Assert.Contains("serve --ready-file /no/such/ready: there is no such directory", run.Error);
        Assert.Contains("mkdir -p /no/such", run.Error);
    }

    /// <summary>It is renamed over and removed at exit: with root's rights that was the end of /dev/full.</summary>
    [Theory]
    [InlineData("serve echo", "mkfifo ready")]
    [InlineData("serve echo", "ln -s elsewhere ready")]
    [InlineData("listen", "mkfifo ready")]
    public async Task A_ready_file_takes_the_place_of_nothing_but_a_file(string verb, string make)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "mkfifo is not everywhere");
        var run = await MortiseProcess.RunShellAsync($"""
            cd $(mktemp -d) && {make} && stat -c %i-%F ready
            mortise {verb} 127.0.0.1:0 --ready-file ready; echo exit $?; stat -c %i-%F ready; rm -r $PWD
            """);
        var lines = run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal("exit 2", lines[^2]);
        Assert.Equal(lines[0], lines[^1]);
        Assert.Contains($"mortise: {verb.Split(' ')[0]} --ready-file ready: it is a device, a pipe", run.Error);
    }

    [Fact]
    public async Task An_empty_file_and_one_left_behind_make_room_for_a_ready_file()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "signals and mktemp");
        foreach (var left in (string[])["", "tcp://127.0.0.1:1"])
        {
            var run = await MortiseProcess.RunShellAsync($"""
                ready=$(mktemp) && printf '{left}' > $ready
                $MORTISE serve echo :0 --ready-file $ready > /dev/null &
                for i in $(seq 200); do grep -qvx 'tcp://127.0.0.1:1' $ready && break; sleep 0.05; done
                echo "told $(cat $ready)"; kill $!; wait $!; [ -e $ready ] || echo removed
                """);
            Assert.Matches(@"told tcp://127\.0\.0\.1:\d+\r?\n", run.Output);
            Assert.EndsWith("removed", run.Output);
        }
    }

    [Fact]
    public async Task A_standard_output_that_was_never_open_is_named_with_the_way_out()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "which number the next file gets is Unix's");
        var run = await MortiseProcess.RunShellAsync("mortise serve echo :0 -v >&-");
        Assert.Equal(2, run.ExitCode);
        Assert.Contains("mortise: write standard output: it was closed before the start", run.Error);
        Assert.Contains("> /dev/null", run.Error);
        Assert.DoesNotContain("   at ", run.Error);
    }

    /// <summary>Runs a script that has a disk of one page at /mnt, which nobody else sees.</summary>
    private static async Task<MortiseProcess.Finished> OnTinyDiskAsync(string script)
    {
        const string mount = "mount -t tmpfs -o size=4k tmpfs /mnt";
        var able = await MortiseProcess.RunShellAsync($"unshare -rm {mount}");
        Assert.SkipWhen(able.ExitCode != 0, "no mount namespaces here: " + able.Error);
        return await MortiseProcess.RunShellAsync(
            $"export MORTISE; exec unshare -rm bash -s <<'SCRIPT'\n{mount}\n{script}\nSCRIPT");
    }
}
