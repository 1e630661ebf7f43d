using System.Security.Cryptography;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>`mortise serve echo` with the clients that people have: nc, socat, bash, and bare sockets.</summary>
public sealed class ServeEchoTests
{
    [Fact]
    public async Task Nc_socat_and_bash_get_their_bytes_back_over_TCP()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        var port = endpoint.Port;
        var run = await MortiseProcess.RunShellAsync($"""
            printf 'from nc' | timeout 5 nc -N 127.0.0.1 {port}; echo
            printf 'from socat' | timeout 5 socat - TCP:127.0.0.1:{port}; echo
            exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'from bash\n' >&3; head -n 1 <&3
            """);
        Assert.Equal("from nc\nfrom socat\nfrom bash", run.Output);
        Row.Observed("A01", $"nc, socat and bash: {run.Output}");
    }

    [Fact]
    public async Task An_IPv6_endpoint_prints_in_brackets_and_echoes()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "tcp://[::1]:0");
        await using var _ = server;
        Assert.StartsWith("tcp://[::1]:", endpoint.ToString());
        Assert.Equal("six", await ServeClient.AskAsync(endpoint, "six"));
        var accepted = await server.EventAsync("accepted");
        Assert.StartsWith("[::1]:", accepted.GetProperty("remote").GetString());
        Row.Observed("A02", $"{endpoint} echoes, peer {accepted.GetProperty("remote").GetString()}");
    }

    [Fact]
    public async Task A_v4_client_of_a_dual_stack_server_is_shown_as_v4()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "*:0");
        await using var _ = server;
        Assert.Equal("four", await ServeClient.AskAsync($"127.0.0.1:{endpoint.Port}", "four"));
        Assert.Equal("six", await ServeClient.AskAsync($"[::1]:{endpoint.Port}", "six"));
        var remote = (await server.EventAsync("accepted")).GetProperty("remote").GetString();
        Assert.StartsWith("127.0.0.1:", remote);
        Row.Observed("A03", $"tcp://*: serves both families; the v4 peer is {remote}");
    }

    [Fact]
    public async Task A_unix_server_removes_its_file_and_clears_a_stale_one()
    {
        var path = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.sock");
        var (killed, endpoint) = await MortiseProcess.ServeAsync("echo", "unix:" + path);
        await using (killed)
            killed.Signal("KILL");
        Assert.True(File.Exists(path), "a killed server leaves its file");
        var (server, _) = await MortiseProcess.ServeAsync("echo", "unix:" + path);
        await using var __ = server;
        var note = await server.ErrorAsync("removed the stale socket file");
        Assert.Equal("here", await ServeClient.AskAsync(endpoint, "here"));
        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
        Assert.False(File.Exists(path));
        Row.Observed("A04", $"echo over {endpoint.Kind}; {note.Value}; the file is gone at exit");
    }

    [Fact]
    public async Task A_unix_path_of_109_bytes_is_refused_with_the_limit()
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", "unix:/" + new string('x', 108)]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains("109", run.Error);
        Assert.Contains("108", run.Error);
        Row.Observed("A05", run.Error.Split('\n')[0]);
    }

    [Fact]
    public async Task The_buffers_in_force_are_shown_doubled_and_the_default_echo_says_nothing()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "-v",
            "--sndbuf", "32KiB", "--rcvbuf", "16KiB");
        var start = await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+) \(backlog 512, frame raw\)");
        var port = start.Groups[1];
        Assert.Equal("x", await ServeClient.AskAsync($":{port.Value}", "x"));
        var line = await server.OutputAsync(@"connected \(sndbuf 65536 B, rcvbuf 32768 B\)");
        Row.Observed("A19", line.Value);
        await using var silent = MortiseProcess.Start("serve", "echo", ":0");
        var quiet = await silent.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)");
        Assert.Equal("y", await ServeClient.AskAsync($":{quiet.Groups[1].Value}", "y"));
        silent.Signal("TERM");
        Assert.Equal(0, await silent.ExitAsync());
        Assert.Equal(2, silent.OutputLines.Count);   // listening and Close Server
    }

    [Fact]
    public async Task Zeros_high_bytes_and_a_megabyte_come_back_exactly()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0");
        await using var _ = server;
        var odd = "ab\0cd\xFF"u8.ToArray();
        Assert.Equal(odd, await ServeClient.AskAsync(endpoint, odd));
        Assert.Empty(await ServeClient.AskAsync(endpoint, Array.Empty<byte>()));
        var big = new byte[1024 * 1024];
        new Random(1).NextBytes(big);
        var back = await ServeClient.AskAsync(endpoint, big);
        Assert.Equal(SHA256.HashData(big), SHA256.HashData(back));
        Row.Observed("I23", "ab\\0cd\\xFF, an empty stream and 1 MiB of random bytes come back byte for byte");
        Row.Observed("Z15", "5 bytes with a NUL inside: all 5 come back, nothing stops at the NUL");
        Row.Observed("Z18", $"{back.Length} bytes echoed whole, whatever one send took");
    }

    [Fact]
    public async Task Udp_senders_each_get_their_own_datagram_back()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "udp://127.0.0.1:0");
        await using var _ = server;
        var sockets = Enumerable.Range(0, 3).Select(_ => DatagramSocket.Connect(endpoint)).ToArray();
        var buffer = new byte[100];
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        for (var i = 0; i < sockets.Length; i++)
            await sockets[i].SendAsync(Encoding.ASCII.GetBytes($"from {i}"), expired.Token);
        for (var i = 0; i < sockets.Length; i++)
        {
            var got = await sockets[i].ReceiveAsync(buffer, expired.Token);
            Assert.Equal($"from {i}", Encoding.ASCII.GetString(buffer, 0, got.Length));
            sockets[i].Dispose();
        }
    }

    [Fact]
    public async Task Unix_datagrams_and_abstract_names_are_served_too()
    {
        var path = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.sock");
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "unixgram:" + path);
        await using var _ = server;
        using var sender = DatagramSocket.Connect(endpoint);
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        await sender.SendAsync("whole"u8.ToArray(), expired.Token);
        var buffer = new byte[100];
        var got = await sender.ReceiveAsync(buffer, expired.Token);
        Assert.Equal("whole", Encoding.ASCII.GetString(buffer, 0, got.Length));
        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
        Assert.False(File.Exists(path));
        var name = $"unix:@mortise-{Guid.NewGuid():N}";
        var (nameless, at) = await MortiseProcess.ServeAsync("echo", name);
        await using var __ = nameless;
        Assert.Equal("abstract", await ServeClient.AskAsync(at, "abstract"));
        Row.Observed("A06", $"unixgram:{Path.GetFileName(path)} answers a datagram, {name} echoes");
        var game = await MortiseProcess.RunAsync(["serve", "game", "udp://127.0.0.1:0"]);
        Assert.Equal(12, game.ExitCode);
        Assert.Contains("needs a stream", game.Error);
    }

    [Fact]
    public async Task What_a_peer_sends_cannot_move_the_cursor_or_begin_a_line()
    {
        await using var server = MortiseProcess.Start("serve", "echo", ":0", "-v");
        var port = (await server.OutputAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        await ServeClient.AskAsync($":{port}", "\u001b[2J\u202eevil\n#9 127.0.0.1:1 connected");
        var line = await server.OutputAsync("recv");
        server.Signal("TERM");
        await server.ExitAsync();
        Assert.Contains("""recv 36 B "\x1B[2J\u{202E}evil\n#9 127.0.0.1:1 connected""", server.Output);
        Assert.DoesNotContain(server.OutputLines, l => l.StartsWith("#9"));
    }
}
