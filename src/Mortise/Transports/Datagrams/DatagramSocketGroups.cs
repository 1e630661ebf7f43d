using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise;

/// <summary>Multicast: datagrams that go to all who joined a group.</summary>
public sealed partial class DatagramSocket
{
    private const int IpMulticastAll = 49, Ipv6MulticastAll = 29; // ip(7), ipv6(7)

    /// <summary>
    /// From now on datagrams that are sent to this group and to the port of this socket are received, too
    /// (IP_ADD_MEMBERSHIP, <c>ip(7)</c>; IPV6_ADD_MEMBERSHIP, <c>ipv6(7)</c>). On Linux a socket gets those of no group
    /// that it has not joined.
    /// </summary>
    /// <param name="group">224.0.0.0 to 239.255.255.255, or of ff00::/8; of the socket's family.</param>
    /// <param name="networkInterface">The name of the interface to listen at, e.g. <c>eth0</c>; null: the one that
    /// the route to the group goes by.</param>
    /// <exception cref="InvalidSettingException">It is no group, of the other family, or there is no such
    /// interface.</exception>
    /// <exception cref="ConnectionException">The system refused: no interface for it (ENODEV), joined already
    /// (EADDRINUSE), or the socket is closed.</exception>
    /// <example><code>
    /// using var socket = DatagramSocket.Bind("udp://0.0.0.0:5353", new() { ReusePort = true });
    /// socket.Join(IPAddress.Parse("224.0.0.251"), "eth0");
    /// </code></example>
    public void Join(IPAddress group, string? networkInterface = null) =>
        Change("join", group, networkInterface, SocketOptionName.AddMembership);

    /// <summary>Takes a <see cref="Join"/> with the same arguments back.</summary>
    /// <exception cref="InvalidSettingException">As with <see cref="Join"/>.</exception>
    /// <exception cref="ConnectionException">The socket has not joined (EADDRNOTAVAIL), or is closed.</exception>
    public void Leave(IPAddress group, string? networkInterface = null) =>
        Change("leave", group, networkInterface, SocketOptionName.DropMembership);

    /// <summary>What concerns all who send to more than one.</summary>
    private static void Tune(Socket socket, TransportOptions options)
    {
        if (socket.ProtocolType != ProtocolType.Udp)
            return;
        if (options.Broadcast)
            socket.EnableBroadcast = true;
        var isV6 = socket.AddressFamily == AddressFamily.InterNetworkV6;
        var level = isV6 ? SocketOptionLevel.IPv6 : SocketOptionLevel.IP;
        if (options.MulticastTtl is { } hops)
            socket.SetSocketOption(level, SocketOptionName.MulticastTimeToLive, hops);
        if (!options.MulticastLoopback)
            socket.SetSocketOption(level, SocketOptionName.MulticastLoopback, false);
        // Else whatever group any process of this machine joins comes to every socket with that port.
        if (OperatingSystem.IsLinux())
            socket.SetRawSocketOption((int)level, isV6 ? Ipv6MulticastAll : IpMulticastAll, BitConverter.GetBytes(0));
    }

    private void Change(string operation, IPAddress group, string? networkInterface, SocketOptionName option)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (!IsGroup(group))
            throw new InvalidSettingException(operation, group.ToString(), "it is no multicast group",
                "groups are 224.0.0.0 to 239.255.255.255, and ff00::/8");
        if (group.AddressFamily != _socket.AddressFamily)
            throw new InvalidSettingException(operation, group.ToString(), $"the socket is bound to {LocalEndpoint}, "
                + "the other family", "bind udp://0.0.0.0:PORT for groups of IPv4, udp://[::]:PORT for IPv6");
        var index = networkInterface is null ? 0 : IndexOf(operation, networkInterface);
        try
        {
            if (group.AddressFamily == AddressFamily.InterNetwork)
                _socket.SetSocketOption(SocketOptionLevel.IP, option, new MulticastOption(group, index));
            else
                _socket.SetSocketOption(SocketOptionLevel.IPv6, option, new IPv6MulticastOption(group, index));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Failure(operation, LocalEndpoint.WithAddress(group), e);
        }
    }

    private static bool IsGroup(IPAddress address) => address.IsIPv6Multicast
        || address.AddressFamily == AddressFamily.InterNetwork && (address.GetAddressBytes()[0] & 0xF0) == 0xE0;

    private static int IndexOf(string operation, string name)
    {
        var all = NetworkInterface.GetAllNetworkInterfaces();
        var one = Array.Find(all, i => i.Name == name) ?? throw new InvalidSettingException(operation, name,
            "there is no network interface of that name",
            $"this machine has {string.Join(", ", all.Select(i => i.Name))}");
        var properties = one.GetIPProperties();
        return one.Supports(NetworkInterfaceComponent.IPv4) ? properties.GetIPv4Properties().Index
            : properties.GetIPv6Properties().Index;
    }
}
