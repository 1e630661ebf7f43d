using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using System.Text;

namespace Mortise.Transports.Sockets;

/// <summary>
/// Applies <see cref="TransportOptions"/> to sockets; the raw numbers are Linux's, from the man pages named.
/// </summary>
internal static class SocketTuning
{
    private const int SolSocket = 1, SoReusePort = 15, SoBindToDevice = 25;   // socket(7)
    private const int IpProtoTcp = 6, TcpSynCount = 7, TcpUserTimeout = 18;   // tcp(7)

    /// <summary>A socket that connects or listens.</summary>
    /// <exception cref="UnsupportedException">The system has no sequenced packets.</exception>
    public static Socket Create(Endpoint endpoint, EndPoint address)
    {
        try
        {
            return address is IPEndPoint ip
                ? new Socket(ip.AddressFamily, SocketType.Stream, ProtocolType.Tcp)
                : new Socket(AddressFamily.Unix, TypeOf(endpoint), ProtocolType.Unspecified);
        }
        catch (SocketException e) when (endpoint.Kind == EndpointKind.UnixSeqPacket
            && e.SocketErrorCode is SocketError.SocketNotSupported or SocketError.ProtocolNotSupported)
        {
            throw new UnsupportedException("open", endpoint.ToString(), "this system has no sequenced packets",
                "use unix: with a framing rule, e.g. len:4");
        }
    }

    public static SocketType TypeOf(Endpoint endpoint) =>
        endpoint.Kind == EndpointKind.UnixSeqPacket ? SocketType.Seqpacket : SocketType.Stream;

    /// <summary>Before bind.</summary>
    public static void PrepareListener(Socket socket, TransportOptions options, bool wildcard)
    {
        if (socket.AddressFamily == AddressFamily.InterNetworkV6)
            socket.DualMode = options.DualMode && wildcard;
        SetBuffers(socket, options);
        BindToInterface(socket, options);
        if (options.ReusePort)
            SetReusePort(socket);
    }

    /// <summary>Before connect.</summary>
    public static void PrepareClient(Socket socket, TransportOptions options)
    {
        SetBuffers(socket, options);
        BindToInterface(socket, options);
        if (options.SynCount is { } count && IsTcp(socket) && OperatingSystem.IsLinux())
            SetRaw(socket, IpProtoTcp, TcpSynCount, count);
    }

    /// <summary>Before connect, and on a listener for those it will accept.</summary>
    public static void TuneConnected(Socket socket, TransportOptions options)
    {
        if (options.LingerSeconds is { } seconds)
            socket.LingerState = new LingerOption(enable: true, seconds);
        if (!IsTcp(socket))
            return;
        socket.NoDelay = options.NoDelay;
        if (options.KeepAliveIdle is { } idle)
        {
            socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, Seconds(idle));
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval,
                Seconds(options.KeepAliveInterval));
            socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount,
                options.KeepAliveCount);
        }

        if (options.UserTimeout is { } timeout && OperatingSystem.IsLinux())
            SetRaw(socket, IpProtoTcp, TcpUserTimeout, (int)timeout.TotalMilliseconds);
    }

    private static void SetBuffers(Socket socket, TransportOptions options)
    {
        if (options.SendBufferBytes is { } send)
            socket.SendBufferSize = send;
        if (options.ReceiveBufferBytes is { } receive)
            socket.ReceiveBufferSize = receive;
    }

    private static void BindToInterface(Socket socket, TransportOptions options)
    {
        if (options.Interface is not { } name)
            return;
        if (!OperatingSystem.IsLinux())
            throw new UnsupportedException("bind", name, "binding to an interface by name exists only on Linux",
                "bind to an address of that interface instead");
        var known = NetworkInterface.GetAllNetworkInterfaces().Select(i => i.Name).ToArray();
        if (!known.Contains(name))
            throw new InvalidSettingException("bind", name, "there is no network interface of that name",
                $"this machine has {string.Join(", ", known)}");
        socket.SetRawSocketOption(SolSocket, SoBindToDevice, Encoding.ASCII.GetBytes(name + '\0'));
    }

    private static void SetReusePort(Socket socket)
    {
        if (!OperatingSystem.IsLinux())
            throw new UnsupportedException("bind", null,
                "spreading connections with SO_REUSEPORT exists only on Linux");
        SetRaw(socket, SolSocket, SoReusePort, 1);
    }

    private static bool IsTcp(Socket socket) => socket.ProtocolType == ProtocolType.Tcp;

    private static int Seconds(TimeSpan time) => Math.Max(1, (int)Math.Ceiling(time.TotalSeconds));

    private static void SetRaw(Socket socket, int level, int name, int value) =>
        socket.SetRawSocketOption(level, name, BitConverter.GetBytes(value));
}
