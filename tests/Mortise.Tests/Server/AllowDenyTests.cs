using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>Who may come in by address: before the handler, before the first byte, and counted.</summary>
public sealed class AllowDenyTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Deny_goes_before_allow_and_who_is_on_no_list_stays_out(EngineKind engine)
    {
        await using var server = Served.Start(engine, c => c.Input.CopyToAsync(c.Output, c.Closed), o =>
        {
            o.Allow.Add("127.0.0.0/29");
            o.Deny.Add("127.0.0.2");
        });
        await AssertServedAsync(server, "127.0.0.1", true);
        await AssertServedAsync(server, "127.0.0.2", false);
        await AssertServedAsync(server, "127.0.0.7", true);
        await AssertServedAsync(server, "127.0.0.8", false);
        await Limits.UntilAsync(() => server.Statistics.Rejected == 2, "2 were turned away");
        Assert.Equal(2, server.Statistics.Accepted);
    }

    [Fact]
    public async Task A_v4_peer_of_a_dual_stack_listener_is_matched_by_v4_ranges()
    {
        await using var server = SocketServer.Start("*:0", c => c.Input.CopyToAsync(c.Output, c.Closed),
            o => o.Deny.Add("127.0.0.0/8"));
        await AssertServedAsync(server, "127.0.0.1", false);
        await AssertServedAsync(server, "::1", true);
    }

    [Fact]
    public async Task The_lists_and_the_judge_must_all_agree_and_unix_peers_have_no_address()
    {
        var options = new ServerOptions { Admit = peer => peer.Port != 13 };
        options.Allow.Add("10.0.0.0/8");
        Assert.True(options.Admits("10.0.0.1:80"));
        Assert.False(options.Admits("10.0.0.1:13"));
        Assert.False(options.Admits("11.0.0.1:80"));
        Assert.True(options.Admits("unix:@somebody"));
        await using var server = SocketServer.Start($"unix:@mortise-allow-{Environment.ProcessId}",
            c => c.SendAsync(new byte[1]).AsTask(), o => o.Allow.Add("10.0.0.0/8"));
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }

    private static async Task AssertServedAsync(SocketServer server, string from, bool served)
    {
        var v6 = from.Contains(':');
        using var client = new Socket(v6 ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork,
            SocketType.Stream, ProtocolType.Tcp);
        client.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Parse(from), 0));
        try
        {
            await client.ConnectAsync(server.Endpoints[0].WithHost(v6 ? "::1" : "127.0.0.1").ToSocketEndPoint()!,
                Limits.Soon);
            await client.SendAsync("x"u8.ToArray(), Limits.Soon);
            var got = await client.ReceiveAsync(new byte[1], Limits.Soon);
            Assert.True(served && got == 1, $"{from} was served");
        }
        catch (SocketException e)
        {
            Assert.False(served, $"{from}: {e.SocketErrorCode}");
        }
    }
}
