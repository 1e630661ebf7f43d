using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>A datagram knows both its ends: the answer leaves from the address that was asked.</summary>
public sealed class BatchAddressTests
{
    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(10)).Token;
    private readonly DatagramBatch _batch = new(capacity: 4, datagramBytesMax: 64);

    /// <summary>A connected client hears only its peer: an answer from another address would never arrive.</summary>
    [Theory]
    [InlineData("udp://0.0.0.0:0", "127.0.0.2")]
    [InlineData("udp://*:0", "127.0.0.3")]
    [InlineData("udp://*:0", "::1")]
    [InlineData("udp://[::]:0", "::1")]
    [InlineData("udp://127.0.0.4:0", "127.0.0.4")]
    public async Task The_answer_leaves_from_the_address_that_was_asked(string bound, string asked)
    {
        Assert.SkipUnless(OperatingSystem.IsLinux() && Socket.OSSupportsIPv6, "all of 127/8, and IPv6");
        using var server = DatagramSocket.Bind(Endpoint.Parse(bound));
        using var client = DatagramSocket.Connect(server.LocalEndpoint.WithHost(asked));
        for (var again = 0; again < 2; again++)
        {
            await client.SendAsync("which?"u8.ToArray(), _patience);
            await server.ReceiveBatchAsync(_batch, _patience);
            Assert.Equal(server.LocalEndpoint.WithHost(asked), _batch[0].Local);
            Assert.Equal(client.LocalEndpoint, _batch[0].Peer);
            Assert.Equal(1, await server.SendBatchAsync(_batch, _patience));
            var answer = await client.ReceiveAsync(new byte[64], _patience);
            Assert.Equal((6, client.LocalEndpoint), (answer.Length, answer.Local));
        }

        await client.SendAsync(default, _patience);
        var single = await server.ReceiveAsync(new byte[64], _patience);
        Assert.Equal(server.LocalEndpoint.WithHost(asked), single.Local);
        // The one call made the runtime ask for both families' control messages: both are read.
        await client.SendAsync("again"u8.ToArray(), _patience);
        await server.ReceiveBatchAsync(_batch, _patience);
        Assert.Equal(server.LocalEndpoint.WithHost(asked), _batch[0].Local);
        Assert.Equal(1, await server.SendBatchAsync(_batch, _patience));
        Assert.Equal(5, (await client.ReceiveAsync(new byte[64], _patience)).Length);
    }

    [Fact]
    public async Task A_batch_is_passed_on_by_a_socket_of_the_other_family()
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        using var from = DatagramSocket.Bind("udp://*:0");
        using var by = DatagramSocket.Bind("udp://127.0.0.1:0");
        using var client = DatagramSocket.Bind("udp://127.0.0.1:0");
        await client.SendToAsync("v4"u8.ToArray(), from.LocalEndpoint.WithHost("127.0.0.1"), _patience);
        await from.ReceiveBatchAsync(_batch, _patience);
        Assert.Equal(1, await by.SendBatchAsync(_batch, _patience));
        Assert.Equal(by.LocalEndpoint, (await client.ReceiveAsync(new byte[8], _patience)).From);
        await by.ReceiveBatchAsync(await SentTo(by, client), _patience);
        Assert.Equal(1, await from.SendBatchAsync(_batch, _patience));
        Assert.Equal(from.LocalEndpoint.Port, (await client.ReceiveAsync(new byte[8], _patience)).From.Port);
    }

    [Fact]
    public async Task Who_cannot_be_reached_is_told_and_the_others_are()
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        using var sender = DatagramSocket.Bind("udp://127.0.0.1:0");
        using var receiver = DatagramSocket.Bind("udp://127.0.0.1:0");
        _batch.Add("six"u8, "udp://[::1]:9");
        _batch.Add("nobody"u8);
        _batch.Add("somebody"u8, receiver.LocalEndpoint);
        Assert.Equal(1, await sender.SendBatchAsync(_batch, _patience));
        Assert.Equal(["EAFNOSUPPORT", "EDESTADDRREQ", null], _batch.Select(d => d.Failure?.Symbol));
        Assert.Contains("bind udp://*:PORT for both", _batch[0].Failure!.Message);
        Assert.Equal(8, (await receiver.ReceiveAsync(new byte[64], _patience)).Length);
    }

    [Fact]
    public async Task A_dual_socket_tells_the_limit_of_the_family_that_carries_it()
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        using var dual = DatagramSocket.Bind("udp://*:0");
        foreach (var (to, bytesMax) in ((string, int)[])[("127.0.0.1", 65_507), ("[::1]", 65_527)])
        {
            var peer = Endpoint.Parse($"udp://{to}:9");
            var batch = new DatagramBatch(1, 70_000);
            batch.Add(new byte[bytesMax + 1], peer);
            Assert.Equal(0, await dual.SendBatchAsync(batch, _patience));
            Assert.EndsWith($"at most {bytesMax}", batch[0].Failure!.Reason);
        }

        var single = await Assert.ThrowsAsync<ConnectionException>(
            async () => await dual.SendToAsync(new byte[65_508], "udp://127.0.0.1:9", _patience));
        Assert.EndsWith("65508 bytes, and one datagram carries at most 65507", single.Reason);
    }

    [Fact]
    public async Task Unix_names_go_both_ways_and_a_full_receiver_holds_up_nobody()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux's");
        using var server = DatagramSocket.Bind($"unixgram:@mortise-batch-{Guid.NewGuid():N}");
        using var busy = DatagramSocket.Bind($"unixgram:@mortise-busy-{Guid.NewGuid():N}");
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        using var nameless = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        nameless.SendTo("who am I"u8, server.LocalEndpoint.ToSocketEndPoint()!);
        await client.SendAsync("hello"u8.ToArray(), _patience);
        Assert.Equal(2, await server.ReceiveBatchAsync(_batch, _patience));
        Assert.Equal(("", client.LocalEndpoint), (_batch[0].Peer.Host, _batch[1].Peer));
        Assert.Equal(1, await server.SendBatchAsync(_batch, _patience));
        Assert.Equal("EDESTADDRREQ", _batch[0].Failure?.Symbol);
        Assert.Equal(5, (await client.ReceiveAsync(new byte[64], _patience)).Length);

        ConnectionException? full = null;
        for (var sent = 0; sent < 10_000 && full is null; sent++)
        {
            _batch.Clear();
            _batch.Add("more"u8, busy.LocalEndpoint);
            _batch.Add("for the client"u8, client.LocalEndpoint);
            await server.SendBatchAsync(_batch, _patience);
            full = _batch[0].Failure;
            Assert.Null(_batch[1].Failure);
            Assert.Equal(14, (await client.ReceiveAsync(new byte[64], _patience)).Length);
        }

        Assert.Equal(("EAGAIN", busy.LocalEndpoint.ToString()), (full?.Symbol, full?.Endpoint));
        Assert.Contains("the receiver's queue is full", full!.Message);
    }

    private async Task<DatagramBatch> SentTo(DatagramSocket socket, DatagramSocket by)
    {
        await by.SendToAsync("v4"u8.ToArray(), socket.LocalEndpoint, _patience);
        return _batch;
    }
}
