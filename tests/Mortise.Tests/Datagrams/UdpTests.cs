using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>UDP keeps boundaries, tells what it loses, and reports a refusal instead of swallowing it.</summary>
public sealed class UdpTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("udp://127.0.0.1:0");

    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(10)).Token;

    [Fact]
    public async Task Five_sends_are_five_receives()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        string[] sent = ["a", "bb", "", "dddd", "eeeee"];
        foreach (var word in sent)
            await client.SendAsync(Encoding.ASCII.GetBytes(word), _patience);

        var buffer = new byte[64];
        foreach (var word in sent)
        {
            var got = await server.ReceiveAsync(buffer, _patience);
            Assert.Equal(word, Encoding.ASCII.GetString(buffer, 0, got.Length));
            Assert.Equal(client.LocalEndpoint, got.From);
            Assert.False(got.Truncated);
        }

        Row.Observed("N11", $"5 sends of {string.Join(", ", sent.Select(w => w.Length))} B are 5 receives of the same");
    }

    [Fact]
    public async Task The_answer_goes_to_whoever_sent()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        await client.SendAsync("ping"u8.ToArray(), _patience);
        var question = await server.ReceiveAsync(new byte[64], _patience);
        await server.SendToAsync("pong"u8.ToArray(), question.From, _patience);
        var answer = await client.ReceiveAsync(new byte[64], _patience);
        Assert.Equal(4, answer.Length);
        Assert.Equal(server.LocalEndpoint, answer.From);
    }

    [Fact]
    public async Task A_datagram_longer_than_the_buffer_says_that_it_was_cut()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        await client.SendAsync(new byte[10], _patience);
        await client.SendAsync(new byte[4], _patience);
        var cut = await server.ReceiveAsync(new byte[4], _patience);
        var whole = await server.ReceiveAsync(new byte[4], _patience);
        Assert.Equal((4, true), (cut.Length, cut.Truncated));
        Assert.Equal((4, false), (whole.Length, whole.Truncated));
    }

    [Theory]
    [InlineData("udp://127.0.0.1:0", 65_507)]
    [InlineData("udp://[::1]:0", 65_527)]
    public async Task One_byte_more_than_fits_is_refused_with_the_limit_in_the_text(string any, int bytesMax)
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        using var server = DatagramSocket.Bind(Endpoint.Parse(any));
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        await client.SendAsync(new byte[bytesMax], _patience);
        Assert.Equal(bytesMax, (await server.ReceiveAsync(new byte[70_000], _patience)).Length);

        var refused = await Assert.ThrowsAsync<ConnectionException>(
            async () => await client.SendAsync(new byte[bytesMax + 1], _patience));
        Assert.Equal("EMSGSIZE", refused.Symbol);
        Assert.Contains($"{bytesMax + 1} bytes, and one datagram carries at most {bytesMax}", refused.Message);
        Row.Observed("I17", $"{any}: {bytesMax} B arrive; {refused.Message}");
    }

    [Fact]
    public async Task A_refusal_is_reported_by_the_next_call()
    {
        Endpoint nobody;
        using (var gone = DatagramSocket.Bind(AnyPort))
            nobody = gone.LocalEndpoint;
        using var client = DatagramSocket.Connect(nobody);
        await client.SendAsync("anyone?"u8.ToArray(), _patience);
        var refused = await Assert.ThrowsAsync<ConnectionException>(
            async () => await client.ReceiveAsync(new byte[16], _patience));
        Assert.Equal(("recv", nobody.ToString(), "ECONNREFUSED"),
            (refused.Operation, refused.Endpoint, refused.Symbol));
        Row.Observed("A22", "Connect sent nothing; after one send to a closed port the next recv failed: "
            + refused.Message);
    }

    [Fact]
    public async Task A_connected_socket_hears_only_its_peer()
    {
        using var peer = DatagramSocket.Bind(AnyPort);
        using var stranger = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(peer.LocalEndpoint);
        await stranger.SendToAsync("stranger"u8.ToArray(), client.LocalEndpoint, _patience);
        await peer.SendToAsync("peer"u8.ToArray(), client.LocalEndpoint, _patience);
        var heard = await client.ReceiveAsync(new byte[64], _patience);
        Assert.Equal((4, peer.LocalEndpoint), (heard.Length, heard.From));
    }

    [Fact]
    public async Task Without_a_peer_a_bare_send_says_what_to_do()
    {
        using var socket = DatagramSocket.Bind(AnyPort);
        var refused = await Assert.ThrowsAsync<ConnectionException>(async () => await socket.SendAsync(new byte[1]));
        Assert.Contains("SendToAsync", refused.Message);
        Assert.Equal(socket.LocalEndpoint.ToString(), refused.Endpoint);
    }

    [Fact]
    public void A_stream_endpoint_is_refused() => Assert.Contains("use udp://",
        Assert.Throws<UnsupportedException>(() => DatagramSocket.Bind(Endpoint.Parse("tcp://127.0.0.1:0"))).Message);
}
