using System.Net;
using System.Net.Sockets;
using System.Text;
using Mortise.Tests.Conformance;
using Mortise.Tests.Tls;
using Xunit;

namespace Mortise.Tests.Cli.Proxy;

/// <summary>
/// `mortise serve --proxy-protocol require` behind a real haproxy: both versions, its checks, and our own headers
/// through it.
/// </summary>
public sealed class HaproxyTests
{
    [Theory, InlineData("send-proxy"), InlineData("send-proxy-v2 proxy-v2-options crc32c,unique-id")]
    public async Task The_server_sees_the_true_client_and_the_checks_find_it_well(string how)
    {
        SkipUnlessInstalled();
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--proxy-protocol", "require",
            "--trusted", "127.0.0.1");
        await using var _ = server;
        var front = Loopback.FreeEndpoint();
        await using var haproxy = Start($"""
            listen front
              bind {front.Authority}
              server mortise {endpoint.Authority} {how} check inter 100ms
            """);
        using var client = await DialAsync(front, Loopback.Own());
        await client.SendAsync("hello"u8.ToArray(), Limits.Soon);
        var got = new byte[5];
        for (var have = 0; have < got.Length;)
            have += await ReceiveAsync(client, got.AsMemory(have));
        Assert.Equal("hello", Encoding.ASCII.GetString(got));
        await server.OutputAsync($"\"ev\":\"accepted\".*\"local\":\"{front.Authority}\",\"remote\":\""
            + $"{client.LocalEndPoint}\",\"via\":\"127.0.0.1:");
        // Checks: version 2 says LOCAL, version 1 tells haproxy's own address; both come from 127.0.0.1.
        await server.OutputAsync("\"ev\":\"accepted\".*\"remote\":\"127.0.0.1:\\d+\",\"via\":\"127.0.0.1:");
        await Limits.UntilAsync(() => server.OutputLines.Count(l => l.Contains("\"remote\":\"127.0.0.1:")) > 3,
            "no checks came");
        Assert.DoesNotContain("is DOWN", haproxy.Error);
        Assert.DoesNotContain("did not open", server.Error);
    }

    /// <summary>
    /// haproxy ends TLS before us; passes it on, behind its header; or ends it and speaks its own to us.
    /// </summary>
    [Theory]
    [InlineData("send-proxy", true, false), InlineData("send-proxy-v2 proxy-v2-options ssl", true, false)]
    [InlineData("send-proxy", false, true), InlineData("send-proxy-v2", false, true)]
    [InlineData("send-proxy", true, true), InlineData("send-proxy-v2-ssl-cn", true, true)]
    public async Task The_true_client_is_seen_with_TLS_in_front_and_behind(string how, bool inFront, bool behind)
    {
        SkipUnlessInstalled();
        var folder = Directory.CreateTempSubdirectory().FullName;
        var (chain, key) = Authority.Write(Authority.Shared.Sign(["localhost"]), folder, "own");
        var both = Path.Combine(folder, "both.pem");
        await File.WriteAllLinesAsync(both, [File.ReadAllText(chain), File.ReadAllText(key)]);
        var (server, endpoint) = behind
            ? await MortiseProcess.ServeAsync("echo", "tls://127.0.0.1:0", "--tls",
                $"{chain},{key}", "--proxy-protocol", "require", "--trusted", "127.0.0.1")
            : await MortiseProcess.ServeAsync("echo", ":0", "--proxy-protocol", "require", "--trusted", "127.0.0.1");
        await using var _ = server;
        var front = Loopback.FreeEndpoint();
        await using var haproxy = Start($"""
            listen front
              bind {front.Authority} {(inFront ? $"ssl crt {both}" : "")}
              server mortise {endpoint.Authority} {how} {(inFront && behind ? "ssl verify none" : "")}
            """);
        (await DialAsync(front, IPAddress.Loopback)).Dispose(); // it listens
        await using var client = await SocketClient.ConnectAsync($"tls://{front.Authority}", o =>
        {
            o.Tls.ServerName = "localhost";
            o.Tls.Authorities.Add(Authority.Shared.Root);
        });
        await client.SendAsync("hello"u8.ToArray());
        var got = new byte[5];
        await client.ReceiveExactlyAsync(got, Limits.Soon);
        Assert.Equal("hello", Encoding.ASCII.GetString(got));
        await server.OutputAsync($"\"ev\":\"accepted\".*\"local\":\"{front.Authority}\",\"remote\":\""
            + $"{client.LocalEndpoint.Authority}\",\"via\":\"127.0.0.1:");
    }

    [Theory, InlineData(1), InlineData(2)]
    public async Task Haproxy_reads_what_we_write_and_tells_it_on(int version)
    {
        SkipUnlessInstalled();
        var (server, endpoint) = await MortiseProcess.ServeAsync("echo", ":0", "--proxy-protocol", "require",
            "--trusted", "127.0.0.0/8");
        await using var _ = server;
        var front = Loopback.FreeEndpoint();
        await using var haproxy = Start($"""
            listen front
              bind {front.Authority} accept-proxy
              server mortise {endpoint.Authority} send-proxy-v2
            """);
        (await DialAsync(front, IPAddress.Loopback)).Dispose(); // it listens
        Endpoint client = "[2001:db8::9]:51000", place = "[2001:db8::1]:443";
        await using var connection = await SocketClient.ConnectAsync(front, o => o.ProxyHeader = version == 1
            ? ProxyHeader.V1(client, place)
            : ProxyHeader.V2(client, place, checksum: true, new ProxyTlv(0xE0, "ours"u8.ToArray())));
        await connection.SendAsync("hello"u8.ToArray());
        await connection.ReceiveExactlyAsync(new byte[5], Limits.Soon);
        await server.OutputAsync("\"ev\":\"accepted\".*\"local\":\"\\[2001:db8::1]:443\",\"remote\":"
            + "\"\\[2001:db8::9]:51000\",\"via\":\"127.0.0.1:");
    }

    private static void SkipUnlessInstalled() => Assert.SkipUnless(
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin")
            .Any(folder => File.Exists(Path.Combine(folder, "haproxy"))), "haproxy is not installed");

    /// <summary>In the foreground, as a child that ends with the test.</summary>
    private static MortiseProcess Start(string sections)
    {
        var file = Path.GetTempFileName();
        File.WriteAllText(file, $"""
            global
              maxconn 100
            defaults
              mode tcp
              timeout connect 10s
              timeout client 60s
              timeout server 60s
            {sections}

            """);
        return MortiseProcess.Shell($"PATH=$PATH:/usr/sbin exec haproxy -db -f {file}");
    }

    /// <summary>Tries until it listens.</summary>
    private static async Task<Socket> DialAsync(Endpoint front, IPAddress from)
    {
        for (var end = DateTime.UtcNow + Limits.Time; ; await Task.Delay(20))
        {
            var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Bind(new IPEndPoint(from, 0));
            try
            {
                await client.ConnectAsync(front.ToSocketEndPoint()!, Limits.Soon);
                return client;
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused
                && DateTime.UtcNow < end)
            {
                client.Dispose();
            }
        }
    }

    private static async Task<int> ReceiveAsync(Socket client, Memory<byte> into)
    {
        var got = await client.ReceiveAsync(into, Limits.Soon);
        Assert.True(got > 0, "haproxy closed the connection");
        return got;
    }
}
