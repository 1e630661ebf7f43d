using System.Net;
using System.Net.Sockets;

namespace Mortise.Transports.Datagrams;

/// <summary>What a datagram socket has from the kernel before and beside its datagrams.</summary>
internal static class DatagramKernel
{
    private const int SolSocket = 1, SoMeminfo = 55;              // socket(7)
    private const int MeminfoBytes = 36, MeminfoDropsAt = 8 * 4;  // SK_MEMINFO_DROPS of <linux/sock_diag.h>
    private const int SioUdpConnReset = unchecked((int)0x9800000C);

    /// <exception cref="UnsupportedException">The endpoint is a stream's.</exception>
    /// <exception cref="InvalidSettingException">The endpoint is a name that was not resolved.</exception>
    public static (Socket Socket, EndPoint Address) Create(Endpoint endpoint)
    {
        ArgumentNullException.ThrowIfNull(endpoint);
        if (endpoint.Kind is not (EndpointKind.Udp or EndpointKind.UnixDatagram))
            throw new UnsupportedException("open", endpoint.ToString(), "this endpoint is not a datagram endpoint",
                "use udp:// or unixgram:");
        var address = Address(endpoint);
        return (new Socket(address.AddressFamily, SocketType.Dgram,
            endpoint.IsUnix ? ProtocolType.Unspecified : ProtocolType.Udp), address);
    }

    /// <exception cref="InvalidSettingException">The endpoint is a name that was not resolved.</exception>
    public static EndPoint Address(Endpoint endpoint) => endpoint.ToSocketEndPoint()
        ?? throw new InvalidSettingException("address", endpoint.ToString(), "a datagram needs an address, not a name",
            "resolve the name first");

    /// <summary>Windows alone lets ICMP's answer to one peer fail the receive for all peers.</summary>
    public static void KeepReceiving(Socket socket)
    {
        if (OperatingSystem.IsWindows() && socket.ProtocolType == ProtocolType.Udp)
            socket.IOControl(SioUdpConnReset, [0, 0, 0, 0], null);
    }

    /// <summary>Each datagram shall tell which address it came to (IP_PKTINFO, IPV6_RECVPKTINFO).</summary>
    public static void AskForLocalAddresses(Socket socket) => socket.SetSocketOption(
        socket.AddressFamily == AddressFamily.InterNetworkV6 ? SocketOptionLevel.IPv6 : SocketOptionLevel.IP,
        SocketOptionName.PacketInformation, true);

    /// <summary>Datagrams dropped before they were received, or null where the system does not say.</summary>
    public static long? ReadDrops(Socket socket)
    {
        if (!OperatingSystem.IsLinux())
            return null;
        try
        {
            Span<byte> info = stackalloc byte[MeminfoBytes];
            return socket.GetRawSocketOption(SolSocket, SoMeminfo, info) == MeminfoBytes
                ? BitConverter.ToUInt32(info[MeminfoDropsAt..])
                : null;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return null; // closed; or a sandbox forbids the option
        }
    }
}
