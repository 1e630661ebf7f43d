using System.Diagnostics;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>Start, stop, restart, and what a server says when it cannot start.</summary>
public sealed class ServeLifeTests
{
    [Fact]
    public async Task Port_0_is_announced_before_any_accept_and_in_the_ready_file()
    {
        var file = Path.Combine(Path.GetTempPath(), $"mortise-ready-{Guid.NewGuid():N}");
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "tcp://[::1]:0", "--ready-file", file);
        await using var _ = server;
        for (var waited = Stopwatch.StartNew(); !File.Exists(file); await Task.Delay(10))
            Assert.True(waited.Elapsed < MortiseProcess.Patience, "no ready file");
        var lines = await File.ReadAllLinesAsync(file);
        Assert.Equal(2, lines.Length);
        Assert.Equal(endpoint.ToString(), lines[0]);
        Assert.NotEqual(0, endpoint.Port);
        Assert.Equal("hi", await ServeClient.AskAsync(lines[0], "hi"));
        var events = server.OutputLines.Select(l => l.Split('"')[5]).ToList();
        Assert.Equal(["listening", "listening"], events.Take(2));
        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
        Assert.False(File.Exists(file));
        Row.Observed("E02", $"listening {endpoint} is the first event; the ready file has {lines.Length} lines");
    }

    [Fact]
    public async Task A_second_server_on_the_port_gets_7_and_the_holder_by_pid_and_name()
    {
        var (first, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = first;
        var second = await MortiseProcess.RunAsync(["serve", "echo", endpoint.ToString()]);
        Assert.Equal(7, second.ExitCode);
        Assert.Contains($"held by pid {first.Id} (dotnet)", second.Error);
        Assert.Contains("EADDRINUSE 98", second.Error);
        Row.Observed("E03", second.Error.Split('\n')[0]);
        Row.Observed("L05", second.Error.Split('\n')[0]);

        var (shared, sharedEndpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--reuse-port");
        await using var __ = shared;
        var (also, alsoEndpoint) = await MortiseProcess.ServeAsync("echo", sharedEndpoint.ToString(), "--reuse-port");
        await using var ___ = also;
        Assert.Equal(sharedEndpoint, alsoEndpoint);
        Row.Observed("E04", "one port, one server (exit 7); with --reuse-port two servers share it");
    }

    [Fact]
    public async Task Twenty_restarts_after_Ctrl_C_with_live_clients_bind_at_once()
    {
        // On 127.0.0.1 the port could become another test's local port while nobody listens.
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", $"{Loopback.Own()}:0", "--drain", "2s");
        for (var restart = 0; restart < 20; restart++)
        {
            using var client = await ServeClient.ConnectAsync(endpoint);
            await client.SendAsync("live");
            Assert.Equal("live", await client.ReadAsync(4));
            server.Signal("INT");
            Assert.Equal(0, await server.ExitAsync());
            await server.DisposeAsync();
            (server, _) = await MortiseProcess.ServeAsync("echo", endpoint.ToString(), "--drain", "2s");
        }

        await server.DisposeAsync();
        Row.Observed("E05", "20 of 20 restarts on the port bound at once, though the server had closed first");
        Row.Observed("Z10", "no EADDRINUSE after a restart: 20 of 20");
    }

    [Fact]
    public async Task A_privileged_port_needs_the_right_and_the_boundary_is_1023()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Environment.UserName == "root", "needs root to become nobody");
        const string nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups timeout 10";
        var refused = await MortiseProcess.RunShellAsync($"{nobody} $MORTISE serve echo :1023");
        Assert.SkipWhen(refused.Error.Contains("Permission denied") && !refused.Error.Contains("EACCES"),
            "another user cannot read the build");
        Assert.Equal(11, refused.ExitCode);
        Assert.Contains("setcap", refused.Error);
        Assert.Contains("ip_unprivileged_port_start", refused.Error);
        var at = $"{Loopback.Own()}:1024";
        await using var boundary = MortiseProcess.Shell($"exec {nobody} $MORTISE serve echo {at}");
        await boundary.OutputAsync($"listening tcp://{Regex.Escape(at)}");
        boundary.Signal("INT");
        await boundary.ExitAsync();
        Row.Observed("E06", "as nobody :1023 is refused (exit 11, setcap, sysctl), " + at + " listens");
    }

    [Fact]
    public async Task An_address_of_another_machine_cannot_be_bound_and_ours_are_listed()
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", "192.0.2.1:7007"]);
        Assert.Equal(7, run.ExitCode);
        Assert.Contains("EADDRNOTAVAIL 99", run.Error);
        Assert.Contains("127.0.0.1", run.Error);
        Row.Observed("E12", run.Error.Split('\n')[0]);
    }

    [Fact]
    public async Task A_server_of_one_address_does_not_answer_at_another()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "127.0.0.1:0");
        await using var _ = server;
        var refused = await Assert.ThrowsAsync<SocketException>(() =>
            ServeClient.AskAsync($"127.0.0.2:{endpoint.Port}", "x"));
        Assert.Equal(SocketError.ConnectionRefused, refused.SocketErrorCode);
        Row.Observed("E11", $"bound to 127.0.0.1, 127.0.0.2:{endpoint.Port} is refused");
    }

    [Fact]
    public async Task Accepted_connections_share_the_listening_port()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        using var one = await ServeClient.ConnectAsync(endpoint);
        using var two = await ServeClient.ConnectAsync(endpoint);
        string[] events =
            [Text(await server.EventAsync("accepted")), Text(await server.EventAsync("accepted", skip: 1))];
        Assert.All(events, e => Assert.StartsWith(endpoint.Authority + " ", e));
        Assert.NotEqual(events[0], events[1]);
        Row.Observed("E10", $"one local port, two peers: {string.Join("; ", events)}");

        static string Text(System.Text.Json.JsonElement accepted) =>
            $"{accepted.GetProperty("local").GetString()} ← {accepted.GetProperty("remote").GetString()}";
    }

    [Fact]
    public async Task A_backlog_over_somaxconn_or_below_zero_is_clamped_and_told()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "--backlog", "1000000");
        var line = await server.OutputAsync(@"backlog (\d+)");
        var note = await server.ErrorAsync("clamped to .*somaxconn");
        Assert.Equal(File.ReadAllText("/proc/sys/net/core/somaxconn").Trim(), line.Groups[1].Value);
        await using var negative = MortiseProcess.Start("serve", "echo", ":0", "--backlog=-5");
        await negative.OutputAsync("listening .*backlog 0");
        Row.Observed("F02", $"--backlog 1000000: {note.Value}");
        Row.Observed("F06", "--backlog 1000000 and -5 are clamped and told; nothing throws");
    }

    [Theory]
    [InlineData("INT")]
    [InlineData("TERM")]
    public async Task A_signal_drains_says_Close_Server_and_exits_0(string signal)
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0");
        var port = (await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        using var client = await ServeClient.ConnectAsync($":{port}");
        await client.SendAsync("last words");
        Assert.Equal("last words", await client.ReadAsync(10));
        server.Signal(signal);
        Assert.Empty(await client.ReadToEndAsync());
        client.Dispose();
        Assert.Equal(0, await server.ExitAsync());
        Assert.Matches("Close Server — 1 connection served, 0 active, drained in", server.Output);
        Row.Observed("J07", $"SIG{signal}: {server.OutputLines[^1]}, exit 0");
        Row.Observed("Z12", "the signal ends the server in order: no EBADF, no exit 255");
    }

    [Fact]
    public async Task A_frame_that_the_stop_cut_off_is_not_blamed_on_the_peer()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--frame", "len:4", "-v");
        await using var _ = server;
        using var client = await ServeClient.ConnectAsync(endpoint);
        await client.SendAsync("\0\0\0\u0005he");
        await server.EventAsync("accepted");
        await Task.Delay(100); // nothing tells that half a frame has been read
        server.Signal("INT");
        Assert.Empty(await client.ReadToEndAsync());
        client.Dispose();
        Assert.Equal(0, await server.ExitAsync());
        Assert.Contains("have=6 need=9: this server stopped before the rest came (unexpected_eof)", server.Error);
    }

    [Fact]
    public async Task The_hint_at_the_start_fits_the_framing_rule()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "--frame", "len:4");
        await server.ErrorAsync(@"try: mortise connect :\d+ --frame len:4$");
        Assert.DoesNotContain("nc -N", server.Error);
    }

    [Fact]
    public async Task A_second_signal_aborts_with_130()
    {
        var file = Path.Combine(Path.GetTempPath(), $"mortise-ready-{Guid.NewGuid():N}");
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--drain", "1m", "--write-stall", "1m",
            "--ready-file", file);
        await using var _ = server;
        using var stuck = await ServeClient.ConnectAsync(endpoint);
        stuck.Socket.ReceiveBufferSize = 4096;
        // A peer that never reads: its echo cannot be finished, so the drain has to wait for it.
        using var patience = new CancellationTokenSource(MortiseProcess.Patience);
        var pushing = Task.Run(async () =>
        {
            var bytes = new byte[1024 * 1024];
            while (true)
                await stuck.Socket.SendAsync(bytes, patience.Token);
        });
        await Task.WhenAny(pushing, Task.Delay(500));
        server.Signal("INT");
        await Task.Delay(300);
        Assert.False(server.Process.HasExited, "the drain waits");
        server.Signal("INT");
        Assert.Equal(130, await server.ExitAsync());
        Assert.False(File.Exists(file), "an abort tidies up too");
        Assert.Equal(1, (await server.EventAsync("drained")).GetProperty("aborted").GetInt32());
        await patience.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => pushing);
    }

    [Fact]
    public async Task Usage_errors_exit_2_with_the_nearest_name_and_later_parts_exit_12()
    {
        var typo = await MortiseProcess.RunAsync(["serve", "echo", ":0", "--backlg", "5"]);
        Assert.Equal(2, typo.ExitCode);
        Assert.Contains("did you mean --backlog?", typo.Error);
        var rule = await MortiseProcess.RunAsync(["serve", "echo", ":0", "--frame", "lien"]);
        Assert.Equal(2, rule.ExitCode);
        foreach (var later in (string[][])[["--backplane", "x"], ["--dashboard", ":0"]])
        {
            var run = await MortiseProcess.RunAsync(["serve", "echo", ":0", .. later]);
            Assert.Equal(12, run.ExitCode);
            Assert.Contains("not in this version", run.Error);
        }
    }

    [Theory]
    [InlineData(7, "mkdir -p", "unix:/nosuch-folder/deep/x.sock")]
    [InlineData(2, "this machine has", "127.0.0.1:0", "--interface", "nosuch0")]
    [InlineData(2, "time --idle 5: this is no time", "127.0.0.1:0", "--idle", "5")]
    [InlineData(2, "size --rcvbuf nonsense: this is no size", "127.0.0.1:0", "--rcvbuf", "nonsense")]
    [InlineData(2, "a port is written as an endpoint: :7007", "--port", "7007")]
    [InlineData(2, "add --frame RULE", "127.0.0.1:0", "--max-frame", "1KiB")]
    [InlineData(12, "needs no framing rule", "udp://127.0.0.1:0", "--frame", "line")]
    [InlineData(2, "--ready-file", "127.0.0.1:0", "--ready-file", "/nosuch-folder/ready")]
    public async Task What_cannot_work_is_refused_with_the_way_out(int code, string says, params string[] args)
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", .. args]);
        Assert.Equal(code, run.ExitCode);
        Assert.Contains(says, run.Error);
    }

    [Fact]
    public async Task A_closed_stdout_ends_the_server_quietly_with_0()
    {
        var file = Path.Combine(Path.GetTempPath(), $"mortise-ready-{Guid.NewGuid():N}");
        var run = await MortiseProcess.RunShellAsync($$"""
            mortise serve echo :0 :0 -v --ready-file {{file}} > >(head -n 1 > /dev/null) & server=$!
            for i in $(seq 200); do [ -s {{file}} ] && break; sleep 0.05; done
            port=$(sed -n '1s/.*://p' {{file}})
            echo x | timeout 2 nc -N 127.0.0.1 $port; echo x | timeout 2 nc -N 127.0.0.1 $port
            wait $server; echo "exit $?"
            """);
        Assert.Contains("exit 0", run.Output);
        Assert.DoesNotContain("xception", run.Error);
    }
}
