using System.Diagnostics;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>Clients that are slow, rude, many, or speak another protocol: the others must not notice.</summary>
public sealed class ServeHostileTests
{
    [Fact]
    public async Task Waiting_clients_are_connected_at_once_and_taken_in_turn()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--accept-delay", "100ms",
            "--loops", "1"); // two loops take in turn, and may say so in the other order
        await using var _ = server;
        var clock = Stopwatch.StartNew();
        var clients = new List<ServeClient>();
        for (var i = 0; i < 5; i++)
            clients.Add(await ServeClient.ConnectAsync(endpoint));
        var connected = clock.Elapsed;
        var ports = clients.Select(c => ((System.Net.IPEndPoint)c.Socket.LocalEndPoint!).Port).ToList();
        await server.EventAsync("accepted", skip: 4);
        var served = server.OutputLines.Where(l => l.Contains("\"accepted\""))
            .Select(l => int.Parse(l.Split("127.0.0.1:")[2].Split('"')[0])).ToList();
        Assert.Equal(ports, served);
        Assert.True(clock.Elapsed > TimeSpan.FromMilliseconds(350) && connected < clock.Elapsed);
        foreach (var client in clients)
            client.Dispose();
        Row.Observed("F05", $"5 connects in {connected.TotalMilliseconds:0} ms, served one each 100 ms in that order");
    }

    [Fact]
    public async Task An_idle_client_keeps_nobody_waiting()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync(
            "reply", ":0", "--on", "hi=abc", "--once-per-conn", "--idle", "500ms");
        await using var _ = server;
        await ServeClient.AskAsync(endpoint, "hi");   // so that nothing is compiled while the clock runs
        using var idle = await ServeClient.ConnectAsync(endpoint);
        var clock = Stopwatch.StartNew();
        Assert.Equal("abc", await ServeClient.AskAsync(endpoint, "hi"));
        var took = clock.Elapsed;
        Assert.True(took < TimeSpan.FromMilliseconds(400), $"{took}");
        Assert.Empty(await idle.ReadToEndAsync());
        await LastClosedAsync(server, "idle");
        Row.Observed("G05", $"with an idle client connected the second got abc after {took.TotalMilliseconds:0.0} ms");
        Row.Observed("Z19", $"an idle client blocks nobody: {took.TotalMilliseconds:0.0} ms");
        Row.Observed("Z37", "the idle client is let go after --idle 500ms");
    }

    [Fact]
    public async Task A_client_that_resets_in_a_message_hurts_only_itself()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "line");
        await using var _ = server;
        using var other = await ServeClient.ConnectAsync(endpoint);
        var rude = await ServeClient.ConnectAsync(endpoint);
        await rude.SendAsync("half a mess");
        await server.EventAsync("accepted", skip: 1);
        rude.Reset();
        var closed = await LastClosedAsync(server, "reset");
        await other.SendAsync("fine\n");
        Assert.Equal("fine\n", await other.ReadAsync(5));
        Assert.Equal("new\n", await ServeClient.AskAsync(endpoint, "new\n"));
        await LastClosedAsync(server, "eof");
        Row.Observed("G08", $"after a reset in mid-message the others and newcomers are served: {closed}");
        Row.Observed("Z08", "one client's error closes neither the listener nor the others");
        Row.Observed("J08", "closed events carry the reason: reset, eof (and idle elsewhere)");
        Row.Observed("Z14", "a reset is a reset, not a message");
    }

    [Fact]
    public async Task An_HTTP_client_on_a_length_prefixed_port_is_named_and_the_port_goes_on()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "--frame", "len:4");
        var port = (await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        await MortiseProcess.RunShellAsync($"curl -s -m 5 http://127.0.0.1:{port}/; true");
        var warning = await server.ErrorAsync("an HTTP client on a length-prefixed port");
        Assert.Contains("frame_too_long", string.Join('\n', server.ErrorLines));
        byte[] frame = [0, 0, 0, 2, (byte)'o', (byte)'k'];
        Assert.Equal(frame, await ServeClient.AskAsync($":{port}", frame));
        Assert.NotEmpty(warning.Value);
        var (json, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "len:4", "--max-frame", "1KiB");
        await using var _ = json;
        using var big = await ServeClient.ConnectAsync(endpoint);
        await big.SendAsync(new byte[] { 0, 0, 4, 1, 0 });
        var error = await json.EventAsync("frame_error");
        Assert.Equal("frame_too_long", error.GetProperty("reason").GetString());
        Row.Observed("Z07", "a frame longer than --max-frame 1KiB is refused before a byte of it is stored");
        Row.Observed("Z33", $"lengths are checked: {error.GetProperty("detail").GetString()}");
    }

    [Fact]
    public async Task A_thousand_clients_against_300_descriptors_leave_the_server_alive()
    {
        await using var server = MortiseProcess.Shell(
            "ulimit -n 300; exec $MORTISE serve echo :0 --json --backlog 2000 --max-connections 5000");
        var endpoint = Endpoint.Parse((await server.EventAsync("listening")).GetProperty("endpoint").GetString()!);
        var clients = new List<ServeClient>();
        for (var i = 0; i < 1000; i++)
            clients.Add(await ServeClient.ConnectAsync(endpoint));
        await server.EventAsync("accepted", skip: 20);
        await clients[0].SendAsync("in");
        Assert.Equal("in", await clients[0].ReadAsync(2));
        await server.ErrorAsync(@"at its limit of \d+ connections; newcomers wait\. .* raise `ulimit -n`");
        var last = clients[^1];
        await last.SendAsync("late");
        await Task.Delay(200);
        Assert.Equal(0, last.Socket.Available);
        Assert.False(server.Process.HasExited, "alive with 300 descriptors and 1,000 clients");
        var inside = server.OutputLines.Count(l => l.Contains("\"accepted\""));
        Assert.InRange(inside, 20, 300);
        foreach (var client in clients.SkipLast(1))
            client.Dispose();
        Assert.Equal("late", await last.ReadAsync(4));
        last.Dispose();
        Row.Observed("G07", $"ulimit -n 300, 1,000 clients: {inside} inside and served, the last one as others left");
        Row.Observed("Z09", $"no descriptor leaks: {clients.Count} clients passed through 300 descriptors");
    }

    [Theory]
    [InlineData("40")]
    [InlineData("64")]
    public async Task A_limit_of_open_files_that_dotnet_cannot_live_with_is_told_instead_of_a_crash(string files)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the limit is read from /proc");
        var run = await MortiseProcess.RunShellAsync($"ulimit -n {files}; mortise serve echo :0");
        Assert.Equal(13, run.ExitCode);
        Assert.Contains($"the limit of open files is {files}", run.Error);
        Assert.Contains("(EMFILE 24)", run.Error);
        Assert.Contains("try: raise it first: ulimit -n 1024", run.Error);
    }

    [Fact]
    public async Task Limits_typed_on_the_command_line_hold_for_loopback_too()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--max-per-ip", "2");
        await using var _ = server;
        using var one = await ServeClient.ConnectAsync(endpoint);
        using var two = await ServeClient.ConnectAsync(endpoint);
        await server.EventAsync("accepted", skip: 1);
        await Assert.ThrowsAsync<SocketException>(() => ServeClient.AskAsync(endpoint, "three"));
        Row.Observed("Z38", "--max-per-ip 2: the third of one address is reset; frames and idle are bounded");

        var (closed, denied) = await MortiseProcess.ServeAsync("echo", "*:0", "--deny", "127.0.0.0/8");
        await using var __ = closed;
        await Assert.ThrowsAsync<SocketException>(() => ServeClient.AskAsync($"127.0.0.1:{denied.Port}", "x"));
        Assert.Equal("x", await ServeClient.AskAsync($"[::1]:{denied.Port}", "x"));
        Row.Observed("Z26", "addresses, limits and networks are arguments; nothing is compiled in");
    }

    [Fact]
    public async Task A_begun_frame_that_does_not_end_is_cut_off()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "line",
            "--frame-timeout", "300ms");
        await using var _ = server;
        using var slow = await ServeClient.ConnectAsync(endpoint);
        await slow.SendAsync(Encoding.ASCII.GetBytes("no end"));
        await LastClosedAsync(server, "receive_too_slow");
    }

    private static async Task<string> LastClosedAsync(MortiseProcess server, string reason) =>
        (await server.OutputAsync($"\"ev\":\"closed\".*\"reason\":\"{reason}\".*")).Value;
}
