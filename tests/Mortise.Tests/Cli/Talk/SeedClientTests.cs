using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>The clients of the tutorials, with their words, and the mistakes that theirs make.</summary>
public sealed class SeedClientTests
{
    [Fact]
    public async Task The_first_client_sends_a_line_and_prints_recv_data()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("reply", ":0", "--on", "hi=abc", "--once-per-conn");
        await using var _ = server;
        var run = await MortiseProcess.RunAsync(["connect", $"127.0.0.1:{endpoint.Port}", "--log-format", "seed"],
            "hi\n");
        Assert.Equal("recv data:abc", run.Output);
        Assert.Equal(0, run.ExitCode);
        Row.Observed("L04", $"the line hi goes out, then: {run.Output}");
    }

    [Fact]
    public async Task The_echo_client_sends_every_so_often_and_says_when_the_server_leaves()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        await using var client = MortiseProcess.Start("connect", endpoint.ToString(), "--every", "300ms",
            "--count", "3", "--send", @"hi, I am client...{n}\n", "--log-format", "seed");
        var started = DateTime.UtcNow;
        await client.OutputAsync("client\\.\\.\\.1");
        Assert.Equal(0, await client.ExitAsync());
        Assert.True(DateTime.UtcNow - started > TimeSpan.FromMilliseconds(600));
        Assert.Equal("""
            server say: hi, I am client...1
            server say: hi, I am client...2
            server say: hi, I am client...3
            server disconnect...
            """, client.Output);
        Row.Observed("L11", client.Output);
    }

    [Fact]
    public async Task The_game_client_plays_words_until_the_end_flag()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("game", ":0", "--end-flag", "end", "--reply",
            "Server to client!");
        await using var _ = server;
        var longWord = new string('w', 5000);
        var run = await MortiseProcess.RunAsync(["play", endpoint.ToString(), "--end-flag", "end"],
            $"hello world\n{longWord}\nend\nnever sent\n");
        Assert.Equal(0, run.ExitCode);
        var turn = "send data successful！\nrecv data from server:Server to client!\n";
        Assert.Equal($"{turn}{turn}{turn}send data successful！\nrecv data from server:end", run.Output);
        await server.EventAsync("closed");
        Row.Observed("L07", "play: " + run.Output);
        Row.Observed("Z04", "words of a line, and one of 5000 letters, go out whole: nothing is cut or overwritten");
        Row.Observed("Z02", "ordinary words get replies, only the end flag ends the game");
    }

    [Fact]
    public async Task A_game_client_alone_a_deaf_server_and_Ctrl_C_all_end_the_game()
    {
        using var peer = new BarePeer();
        var deaf = MortiseProcess.RunAsync(["play", peer.Address, "--timeout", "300ms"], "word\n");
        using var socket = await peer.AcceptAsync();
        var timedOut = await deaf;
        Assert.Equal(5, timedOut.ExitCode);
        Assert.Contains("no answer came within 0.3 s", timedOut.Error);
        var alone = await MortiseProcess.RunAsync(["play", "127.0.0.1:1"], "word\n");
        Assert.Equal(4, alone.ExitCode);
        await using var stopped = MortiseProcess.Start("play", peer.Address);
        using var second = await peer.AcceptAsync();
        await stopped.Input.WriteAsync("one\n");
        await stopped.Input.FlushAsync(TestContext.Current.CancellationToken);
        await second.HearAsync(4);
        await second.SayAsync("1\n");
        await stopped.OutputAsync("recv data from server:1");
        stopped.Signal("INT");
        Assert.Equal(130, await stopped.ExitAsync(TimeSpan.FromSeconds(3)));
    }

    [Fact]
    public async Task Every_failure_prints_operation_number_and_text_and_exits_with_its_own_code()
    {
        using var busy = new BarePeer();
        using var peer = new BarePeer();
        var reset = MortiseProcess.RunAsync(["connect", peer.Address, "--send", "x"]);
        var socket = await peer.AcceptAsync();
        await socket.HearAsync(1);
        socket.Reset();
        MortiseProcess.Finished[] runs =
        [
            await MortiseProcess.RunAsync(["listen", busy.Address]),
            await MortiseProcess.RunAsync(["listen", "192.0.2.1:0"]),
            await MortiseProcess.RunAsync(["connect", "127.0.0.1:1"]),
            await reset,
            await MortiseProcess.RunAsync(["send", "udp://127.0.0.1:1", "x"]),
            await MortiseProcess.RunAsync(["connect", "unix:/nosuch/x.sock"]),
        ];
        string[] said = ["bind .*EADDRINUSE 98", "bind .*EADDRNOTAVAIL 99", "connect .*ECONNREFUSED 111",
            "recv .*ECONNRESET 104", "recv .*ECONNREFUSED 111", "connect .*ENOENT 2"];
        foreach (var (run, pattern) in runs.Zip(said))
            Assert.Matches(pattern, run.Error);
        Assert.Equal([7, 7, 4, 8, 4, 4], runs.Select(r => r.ExitCode));
        var lines = runs.Select(r => $"{r.ExitCode}: {r.Error.Split('\n')[0]}").ToList();
        Row.Observed("L05", string.Join(" | ", lines));
        Row.Observed("Z34", "each failure has an exit code of its own and a name: " + lines[0]);
    }

    [Fact]
    public async Task What_an_answer_leaves_behind_never_shows_in_the_next_and_an_end_prints_nothing()
    {
        using var peer = new BarePeer();
        var run = MortiseProcess.RunAsync(["connect", peer.Address, "--frame", "line"]);
        using (var socket = await peer.AcceptAsync())
        {
            foreach (var answer in (string[])["a long first answer\n", "ok\n", "\n", new string('x', 2048) + "\n"])
            {
                await socket.SayAsync(answer);
                await Task.Delay(30, TestContext.Current.CancellationToken);
            }
        }

        Assert.Equal($"a long first answer\nok\n\n{new string('x', 2048)}", (await run).Output);
        var silent = MortiseProcess.RunAsync(["connect", peer.Address]);
        (await peer.AcceptAsync()).Dispose();
        Assert.Equal(("", 0), ((await silent).Output, (await silent).ExitCode));
        Row.Observed("Z23", "a long answer, then `ok`: the second shows `ok` and nothing of the first");
        Row.Observed("Z20", "an answer of exactly 2048 bytes shows exactly 2048");
        Row.Observed("Z21", "the server's end prints nothing and exits 0");
    }
}
