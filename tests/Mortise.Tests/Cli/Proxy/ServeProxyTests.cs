using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Cli.Proxy;

/// <summary>The flags of `mortise serve` and `listen` that say who may come in, and who may speak for others.</summary>
public sealed class ServeProxyTests
{
    [Theory]
    [InlineData("--proxy-protocol require", "they are required, and nobody is trusted to send them", "--trusted CIDR")]
    [InlineData("--trusted 10.0.0.1", "no PROXY headers are read", "--proxy-protocol require")]
    [InlineData("--proxy-protocol guess", "there is no such choice", "choose one of off, require")]
    [InlineData("udp://127.0.0.1:0 --proxy-protocol require --trusted ::1", "not from datagrams", "use tcp://")]
    [InlineData("--allow 10.1.2.3/8", "bits set beyond the first 8", "did you mean 10.0.0.0/8")]
    [InlineData("--deny 10/8", "an IPv4 address has four parts", "did you mean 10.0.0.0/8")]
    public async Task Settings_that_make_no_sense_are_refused_before_anything_listens(string flags, string reason,
        string hint)
    {
        var run = await MortiseProcess.RunAsync(["serve", "echo", ":0", .. flags.Split(' ')]);
        Assert.NotEqual(0, run.ExitCode);
        Assert.DoesNotContain("listening", run.Output);
        Assert.Contains(reason, run.Error);
        Assert.Contains(hint, run.Error);
    }

    [Fact]
    public async Task A_client_that_comes_past_the_proxy_is_named_in_the_log()
    {
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", "127.0.0.1:0", "--proxy-protocol", "require",
            "--trusted", "127.0.0.1", "--handshake-timeout", "200ms");
        await using var _ = server;
        var curl = await MortiseProcess.RunShellAsync($"curl -s --max-time 10 http://{endpoint.Authority}/");
        Assert.NotEqual(0, curl.ExitCode);
        await server.ErrorAsync("proxy_header: there is no PROXY header: the first bytes are ASCII 'GET ': an HTTP "
            + "client directly on a port that requires PROXY");
        await server.OutputAsync("\"ev\":\"closed\".*\"reason\":\"proxy_header\"");
        using var silent = await ServeClient.ConnectAsync(endpoint);
        await server.OutputAsync("\"ev\":\"closed\".*\"reason\":\"handshake_timeout\"");
    }

    [Fact]
    public async Task Listen_waits_for_a_peer_that_may_come_in()
    {
        await using var server = MortiseProcess.Start("listen", "*:0", "--deny", "127.0.0.0/8", "--send", "in");
        var port = (await server.ErrorAsync(@"listening tcp://\*:(\d+)")).Groups[1].Value;
        using (var denied = await ServeClient.ConnectAsync($"127.0.0.1:{port}"))
            await Assert.ThrowsAsync<SocketException>(() => denied.Socket.ReceiveAsync(new byte[1]));
        await server.ErrorAsync(@"127\.0\.0\.1:\d+ is denied");
        using var client = await ServeClient.ConnectAsync($"[::1]:{port}");
        Assert.Equal("in", await client.ReadAsync(2));
    }
}
