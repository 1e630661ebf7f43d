using System.Globalization;
using System.Text.Json;
using Xunit;

namespace Mortise.Tests.Cli.Talk;

/// <summary>`mortise listen` with the clients that people have: nc, socat, curl, and our own connect.</summary>
public sealed class ListenTests
{
    [Fact]
    public async Task The_port_is_known_before_anybody_connects_and_nc_talks_both_ways()
    {
        await using var server = MortiseProcess.Start("listen", "tcp://127.0.0.1:0", "--json");
        var port = Port(await server.EventAsync("listening"));
        Assert.Contains(Loopback.TcpRows(), row => row[1] == Loopback.TcpEnd(port) && row[3] == "0A");
        await using var nc = MortiseProcess.Shell($"printf 'from nc\n' | nc -N 127.0.0.1 {port}");
        Assert.Equal("from nc\n", (await server.EventAsync("recv")).GetProperty("text").GetString());
        await server.Input.WriteAsync("from listen\n");
        server.Input.Close();
        Assert.Equal(0, await nc.ExitAsync());
        Assert.Equal("from listen", nc.Output);
        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal("eof", (await server.EventAsync("closed")).GetProperty("reason").GetString());
        Row.Observed("A01", "listen and nc: `from nc` one way, `from listen` the other");
        Row.Observed("F01", $"/proc/net/tcp shows port {port} in state 0A, LISTEN, before anybody connects");
    }

    [Fact]
    public async Task Connect_curl_and_socat_talk_to_listen_over_v6_telnet_and_unix()
    {
        await using var six = MortiseProcess.Start("listen", "tcp://[::1]:0", "--send", "hello six\n");
        var at = (await six.ErrorAsync(@"listening (tcp://\[::1\]:\d+)")).Groups[1].Value;
        var client = await MortiseProcess.RunAsync(["connect", at, "-v"], "up");
        Assert.Equal((0, "hello six"), (client.ExitCode, client.Output));
        Assert.Contains("connected [::1]:", client.Error);
        Assert.Equal(0, await six.ExitAsync());
        Assert.Equal("up", six.Output);
        await using var telnet = MortiseProcess.Start("listen", ":0", "--send", "hello curl\n");
        var port = (await telnet.ErrorAsync(@"listening tcp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        var curl = await MortiseProcess.RunShellAsync(
            $"printf 'typed\n' | timeout 10 curl -sN telnet://127.0.0.1:{port}");
        Assert.Equal("hello curl", curl.Output);
        Assert.Equal(0, await telnet.ExitAsync());
        Assert.Equal("typed", telnet.Output);
        var path = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.sock");
        await using var unix = MortiseProcess.Start("listen", "unix:" + path, "--send", "hello unix\n");
        await unix.ErrorAsync("listening unix:");
        var socat = await MortiseProcess.RunShellAsync($"printf sock | timeout 10 socat - UNIX-CONNECT:{path}");
        Assert.Equal("hello unix", socat.Output);
        Assert.Equal(0, await unix.ExitAsync());
        Assert.False(File.Exists(path));
        Row.Observed("A02", $"listen {at} and connect: both ways, addresses in brackets");
    }

    [Fact]
    public async Task Keep_serves_many_at_once_each_with_its_own_bytes_and_errors()
    {
        await using var server = MortiseProcess.Start("listen", ":0", "-k", "--json", "--send", "welcome");
        var port = Port(await server.EventAsync("listening"));
        Endpoint endpoint = $"127.0.0.1:{port}";
        using var first = await ServeClient.ConnectAsync(endpoint);
        using var second = await ServeClient.ConnectAsync(endpoint);
        Assert.Equal("welcome", await second.ReadAsync(7));
        Assert.Equal("welcome", await first.ReadAsync(7));
        await second.SendAsync("B");
        await first.SendAsync("A");
        var got = new[] { await server.EventAsync("recv"), await server.EventAsync("recv", skip: 1) }
            .ToDictionary(e => e.GetProperty("id").GetInt64(), e => e.GetProperty("text").GetString());
        Assert.Equal(2, got.Count);
        Assert.Equal("AB", string.Concat(got.OrderBy(g => g.Key).Select(g => g.Value)));
        first.Reset();
        await server.EventAsync("closed");
        Assert.StartsWith("welcome", await ServeClient.AskAsync(endpoint, "C"));
        server.Signal("INT");
        Assert.Equal(0, await server.ExitAsync());
        Row.Observed("Z11", "two clients at once: each has its own state, the reset of one leaves the other alone");
    }

    [Fact]
    public async Task Nobody_who_reads_the_output_ends_it_and_the_ready_file_goes()
    {
        var file = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.ready");
        await using var server = MortiseProcess.Shell(
            $"$MORTISE listen :0 -k --ready-file {file} | head -c 5; echo; echo ${{PIPESTATUS[0]}}");
        await server.ErrorAsync("listening");
        Endpoint endpoint = (await File.ReadAllTextAsync(file, TestContext.Current.CancellationToken)).Trim();
        using var client = await ServeClient.ConnectAsync(endpoint);
        for (var i = 0; i < 200 && !server.Process.HasExited; i++)
        {
            try
            {
                await client.SendAsync("12345\n");
            }
            catch (System.Net.Sockets.SocketException)
            {
                break;   // it has left
            }

            await Task.Delay(20, TestContext.Current.CancellationToken);
        }

        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal("12345\n0", server.Output);
        Assert.False(File.Exists(file));
    }

    [Fact]
    public async Task A_datagram_is_shown_answered_and_counted_as_one()
    {
        await using var server = MortiseProcess.Start("listen", "udp://127.0.0.1:0", "--hex", "--send", "got it");
        var port = (await server.ErrorAsync(@"listening udp://127\.0\.0\.1:(\d+)")).Groups[1].Value;
        var run = await MortiseProcess.RunShellAsync($"printf 'a\\0b' | timeout 5 socat -t 2 - UDP:127.0.0.1:{port}");
        Assert.Equal("got it", run.Output);
        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal("00000000  61 00 62                                          |a.b|", server.Output);
    }

    [Theory]
    [InlineData("udp://127.0.0.1:0", @"^listening udp://\S+ \(datagrams, rcvbuf 65536 B\)$")]
    [InlineData("tcp://127.0.0.1:0", @"^#1 \S+ connected \(sndbuf \d+ B, rcvbuf 65536 B\)$")]
    public async Task The_receive_buffer_is_asked_for_as_with_serve_and_what_is_in_force_is_shown(string at,
        string shown)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "it is Linux that doubles the size");
        await using var server = MortiseProcess.Start("listen", at, "--rcvbuf", "32KiB", "-v");
        var port = (await server.ErrorAsync(@"listening \S+:(\d+)")).Groups[1].Value;
        var sent = MortiseProcess.RunAsync(["send", at.Replace(":0", ":" + port), "x", "--wait", "0"]);
        await server.ErrorAsync(shown);
        Assert.Equal(0, (await sent).ExitCode);
        Assert.Equal(0, await server.ExitAsync());
        var texts = await Task.WhenAll(((string[])["listen", "serve"]).Select(async verb =>
            (await MortiseProcess.RunAsync([verb, "--help"])).Output.Split('\n').Single(l => l.Contains("--rcvbuf"))));
        Assert.Single(texts.Select(t => t.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Select(words => string.Join(' ', words)).Distinct());
    }

    private static int Port(JsonElement listening) =>
        int.Parse(listening.GetProperty("endpoint").GetString()!.Split(':')[^1], CultureInfo.InvariantCulture);
}
