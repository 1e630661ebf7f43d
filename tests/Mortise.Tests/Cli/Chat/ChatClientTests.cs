using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>`mortise connect --chat` and `mortise play --room`: through pipes, on a terminal, when servers die.
/// </summary>
public sealed class ChatClientTests
{
    [Fact]
    public async Task What_comes_from_a_pipe_is_said_and_the_answer_shown()
    {
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0");
        await using var _ = server;
        await using var bob = await Terminal.EnterAsync(at, "bob");
        var run = await MortiseProcess.RunAsync(["connect", $"{at}", "--chat", "--nick", "ada"], "hello\n/who\n");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal("[lobby] ada: hello", await bob.SeesAsync("hello"));
        Assert.Contains("* in lobby: ada, bob\n* goodbye", run.Output);
        Assert.Contains($"* connected to {at.Authority}", run.Error);
        await bob.SeesAsync("ada left");
    }

    [Fact]
    public async Task After_its_server_was_killed_it_comes_back_with_its_name_and_room()
    {
        var at = Loopback.FreeEndpoint();
        var first = MortiseProcess.Start("serve", "chat", $"{at}");
        await first.OutputAsync("^listening");
        await using var ada = MortiseProcess.Start("connect", $"{at}", "--chat", "--nick", "ada");
        await ada.Input.WriteAsync("/join den\n");
        await ada.Input.FlushAsync();
        await ada.OutputAsync(@"^\* you joined den");
        first.Signal("KILL");
        await ada.ErrorAsync(@"^\* the connection ended: .*; again in \d");
        await ada.ErrorAsync(@"^\* cannot connect \(ECONNREFUSED\); again in \d");
        await first.DisposeAsync();
        await using var second = MortiseProcess.Start("serve", "chat", $"{at}");
        await second.OutputAsync("^listening");
        await Limits.UntilAsync(() => ada.OutputLines.Count(l => l.StartsWith("* you joined den")) == 2, "not back");
        Assert.Equal(2, ada.OutputLines.Count(l => l.EndsWith(" is now ada")));
        await using var bob = await Terminal.EnterAsync(at, "bob");
        await bob.TypeAsync("/join den");
        await ada.Input.WriteAsync("still here\n");
        await ada.Input.FlushAsync();
        Assert.Equal("[den] ada: still here", await bob.SeesAsync("still here"));
        ada.Signal("INT");
        Assert.Equal(0, await ada.ExitAsync());
    }

    [Fact]
    public async Task On_a_terminal_what_is_typed_stays_below_what_comes()
    {
        Assert.SkipUnless(File.Exists("/usr/bin/script"), "script(1) is not installed");
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0");
        await using var _ = server;
        await using var bob = await Terminal.EnterAsync(at, "bob");
        await using var ada = MortiseProcess.Shell(
            $"export TERM=xterm-256color; exec script -qefc \"$MORTISE connect {at} --chat --nick ada\" /dev/null");
        await bob.SeesAsync("now ada$");
        await ada.Input.WriteAsync("half a li");
        await ada.Input.FlushAsync();
        await ada.OutputAsync("> half a l"); // no line end comes behind it until something is shown above it
        await bob.TypeAsync("\u001b[2Jhi");
        await ada.OutputAsync(@"bob.*: \\x1B\[2Jhi");
        await ada.Input.WriteAsync("ne\r/quit\r");
        await ada.Input.FlushAsync();
        Assert.Equal("[lobby] ada: half a line", await bob.SeesAsync("half"));
        Assert.Equal(0, await ada.ExitAsync());
        Assert.Contains("> half a li", ada.Output[ada.Output.IndexOf("2Jhi", StringComparison.Ordinal)..]);
    }

    [Fact]
    public async Task A_player_comes_back_with_its_token_or_begins_anew()
    {
        var at = Loopback.FreeEndpoint();
        var first = MortiseProcess.Start("serve", "game", $"{at}");
        await first.OutputAsync("^listening");
        await using var ada = MortiseProcess.Start("play", $"{at}", "--room", "arena", "--name", "ada");
        var joined = await ada.OutputAsync("^joined arena as ada token=([0-9a-f]{32}) ");
        await ada.OutputAsync("^state .*ada:");

        // Another takes the figure by its token; the first is closed, comes back, and takes it again.
        await using var other = await SocketClient.ConnectAsync(at, Codec.Lines());
        await other.SendAsync("/resume " + joined.Groups[1].Value);
        await ada.OutputAsync("^over: another connection resumed with your token$");
        await Limits.UntilAsync(() => ada.OutputLines.Count(l => l == ada.OutputLines[0]) == 2, "not resumed");

        first.Signal("KILL");
        await ada.ErrorAsync("; again in");
        await first.DisposeAsync();
        await using var second = MortiseProcess.Start("serve", "game", $"{at}");
        await ada.OutputAsync("^refused: no such token, or its time is over$");
        await ada.OutputAsync($"^joined arena as ada token=(?!{joined.Groups[1].Value})");
        await ada.Input.WriteAsync("end\n");
        ada.Input.Close();
        Assert.Equal(0, await ada.ExitAsync());
    }
}
