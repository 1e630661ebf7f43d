using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Transports.Sockets;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>What the kernel was told about a listener holds for all that it accepts, without another word.</summary>
public sealed class SocketOptionTests
{
    private const int SolSocket = 1, SoSendBuffer = 7, SoReceiveBuffer = 8, SoKeepAlive = 9, SoLinger = 13;
    private const int IpProtoTcp = 6, TcpNoDelay = 1, TcpKeepIdle = 4, TcpKeepInterval = 5, TcpKeepCount = 6,
        TcpUserTimeout = 18;

    [Fact]
    public void An_accepted_socket_inherits_every_option_of_its_listener()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "Linux only");
        var options = new TransportOptions
        {
            KeepAliveIdle = TimeSpan.FromSeconds(41),
            KeepAliveInterval = TimeSpan.FromSeconds(7),
            KeepAliveCount = 5,
            UserTimeout = TimeSpan.FromSeconds(17),
            LingerSeconds = 3,
            SendBufferBytes = 70_000,
            ReceiveBufferBytes = 60_000,
        };
        using var listening = ListeningSocket.Open(Endpoint.Parse("tcp://127.0.0.1:0"), options);
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        client.Connect(listening.Endpoint.ToSocketEndPoint()!);
        listening.Socket.Blocking = true;
        using var accepted = listening.Socket.Accept();   // sets nothing itself

        Assert.Equal(1, Get(accepted, IpProtoTcp, TcpNoDelay));
        Assert.Equal(1, Get(accepted, SolSocket, SoKeepAlive));
        Assert.Equal(41, Get(accepted, IpProtoTcp, TcpKeepIdle));
        Assert.Equal(7, Get(accepted, IpProtoTcp, TcpKeepInterval));
        Assert.Equal(5, Get(accepted, IpProtoTcp, TcpKeepCount));
        Assert.Equal(17_000, Get(accepted, IpProtoTcp, TcpUserTimeout));
        Assert.Equal(140_000, Get(accepted, SolSocket, SoSendBuffer));
        Assert.Equal(120_000, Get(accepted, SolSocket, SoReceiveBuffer));
        Assert.Equal((1, 3), Linger(accepted));
        Assert.Equal(0, Get(client, IpProtoTcp, TcpNoDelay)); // nothing of this is a system's default
        Assert.Equal((0, 0), Linger(client));
    }

    [Fact]
    public void A_listener_leaves_the_file_of_the_server_that_took_its_path()
    {
        var path = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.sock");
        var endpoint = Endpoint.Parse($"unix:{path}");
        using var first = SocketServer.Listen(endpoint);
        File.Delete(path); // e.g. an administrator, or a deployment that swaps servers
        using var second = SocketServer.Listen(endpoint);
        first.Dispose();
        Assert.True(File.Exists(path), "the first listener removed the second one's file");
        using var client = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(path));
        second.Dispose();
        Assert.False(File.Exists(path), "the second listener left its own file behind");
    }

    [Fact]
    public void A_listener_that_fails_after_its_bind_leaves_no_file()
    {
        var path = Path.Combine(Path.GetTempPath(), $"mortise-{Guid.NewGuid():N}.sock");
        var endpoint = Endpoint.Parse($"unix:{path}");
        Assert.ThrowsAny<Exception>(() => SocketServer.Listen(endpoint,
            new TransportOptions { UnixFileMode = (UnixFileMode)(-1) }));
        Assert.False(File.Exists(path));
    }

    private static int Get(Socket socket, int level, int name)
    {
        Span<byte> value = stackalloc byte[4];
        socket.GetRawSocketOption(level, name, value);
        return BitConverter.ToInt32(value);
    }

    private static (int On, int Seconds) Linger(Socket socket)
    {
        Span<byte> value = stackalloc byte[8];
        socket.GetRawSocketOption(SolSocket, SoLinger, value);
        return (BitConverter.ToInt32(value), BitConverter.ToInt32(value[4..]));
    }
}
