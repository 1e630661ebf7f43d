using System.Net;
using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>One datagram to many: multicast groups and broadcast, over the loopback interface.</summary>
public sealed class GroupTests
{
    private readonly byte[] _room = new byte[100];

    [Fact]
    public async Task A_group_reaches_all_who_joined_and_nobody_else()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "lo");
        var address = IPAddress.Parse("239.77.1.1");
        var shared = new TransportOptions { ReusePort = true };
        using var first = DatagramSocket.Bind(Endpoint.Parse("udp://0.0.0.0:0"), shared);
        using var second = DatagramSocket.Bind(first.LocalEndpoint, shared);
        using var stranger = DatagramSocket.Bind(first.LocalEndpoint, shared);
        using var sender = DatagramSocket.Bind(Endpoint.Parse("udp://0.0.0.0:0"), new() { Interface = "lo" });
        first.Join(address, "lo");
        second.Join(address, "lo");
        var to = first.LocalEndpoint.WithAddress(address);
        await sender.SendToAsync("to all"u8.ToArray(), to, Limits.Soon);
        Assert.Equal(6, (await first.ReceiveAsync(_room, Limits.Soon)).Length);
        Assert.Equal(6, (await second.ReceiveAsync(_room, Limits.Soon)).Length);

        second.Leave(address, "lo");
        await sender.SendToAsync("to one"u8.ToArray(), to, Limits.Soon);
        Assert.Equal(6, (await first.ReceiveAsync(_room, Limits.Soon)).Length);
        // What was sent to the group came to it before this, and to the others never.
        foreach (var outside in new[] { second, stranger })
            Assert.False(Reads(outside), "somebody outside of the group got it");
    }

    /// <summary>No route leads to groups of IPv6 by lo, so the kernel's list has to do.</summary>
    [Fact]
    public async Task A_group_of_IPv6_is_joined_and_left()
    {
        const string List = "/proc/net/igmp6", Entry = "ff120000000000000000000000077077";
        Assert.SkipUnless(File.Exists(List) && Socket.OSSupportsIPv6, "IPv6 on Linux");
        using var socket = DatagramSocket.Bind(Endpoint.Parse("udp://[::]:0"));
        socket.Join(IPAddress.Parse("ff12::7:7077"), "lo");
        Assert.Contains(Entry, await File.ReadAllTextAsync(List));
        socket.Leave(IPAddress.Parse("ff12::7:7077"), "lo");
        Assert.DoesNotContain(Entry, await File.ReadAllTextAsync(List));
    }

    [Theory]
    [InlineData("udp://0.0.0.0:0", SocketOptionLevel.IP)]
    [InlineData("udp://[::]:0", SocketOptionLevel.IPv6)]
    public void How_far_it_goes_and_whether_it_comes_back_is_told_to_the_kernel(string at, SocketOptionLevel level)
    {
        using var usual = DatagramSocket.Bind(Endpoint.Parse(at));
        using var set = DatagramSocket.Bind(Endpoint.Parse(at), new() { MulticastTtl = 7, MulticastLoopback = false });
        Assert.Equal((1, 1), (Option(usual, SocketOptionName.MulticastTimeToLive), Option(usual,
            SocketOptionName.MulticastLoopback)));
        Assert.Equal((7, 0), (Option(set, SocketOptionName.MulticastTimeToLive), Option(set,
            SocketOptionName.MulticastLoopback)));

        int Option(DatagramSocket socket, SocketOptionName name) => (int)socket.Socket.GetSocketOption(level, name)!;
    }

    [Fact]
    public async Task Broadcast_has_to_be_asked_for()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "127.255.255.255");
        using var everybody = DatagramSocket.Bind(Endpoint.Parse("udp://0.0.0.0:0"));
        var to = everybody.LocalEndpoint.WithHost("127.255.255.255");
        using var timid = DatagramSocket.Bind(Endpoint.Parse("udp://127.0.0.1:0"));
        var refused = await Assert.ThrowsAsync<ConnectionException>(() => timid.SendToAsync(new byte[1], to).AsTask());
        Assert.Equal("EACCES", refused.Symbol);
        using var caller = DatagramSocket.Bind(Endpoint.Parse("udp://127.0.0.1:0"), new() { Broadcast = true });
        await caller.SendToAsync(new byte[3], to, Limits.Soon);
        Assert.Equal(3, (await everybody.ReceiveAsync(_room, Limits.Soon)).Length);
    }

    [Fact]
    public void What_cannot_be_joined_says_why()
    {
        using var socket = DatagramSocket.Bind(Endpoint.Parse("udp://0.0.0.0:0"));
        Says("no multicast group", () => socket.Join(IPAddress.Loopback));
        Says("the other family", () => socket.Join(IPAddress.Parse("ff12::1")));
        Says("this machine has", () => socket.Join(IPAddress.Parse("239.77.1.3"), "nosuch0"));
        var never = Assert.Throws<ConnectionException>(() => socket.Leave(IPAddress.Parse("239.77.1.4"), "lo"));
        Assert.Equal("EADDRNOTAVAIL", never.Symbol);
        socket.Dispose();
        Assert.Equal(CloseReason.Local, Assert.Throws<ConnectionException>(
            () => socket.Join(IPAddress.Parse("239.77.1.4"), "lo")).CloseReason);
    }

    private static void Says(string what, Action call) =>
        Assert.Contains(what, Assert.Throws<InvalidSettingException>(call).Message, StringComparison.Ordinal);

    private bool Reads(DatagramSocket socket) => socket.Socket.Poll(0, SelectMode.SelectRead);
}
