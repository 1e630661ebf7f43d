using System.Net;
using System.Net.Sockets;

namespace Mortise.Tests.Transports.Uring;

/// <summary>Two ends of one TCP connection as plain blocking sockets; the engine under test gets the descriptor of
/// one.</summary>
internal sealed class SocketPairOfTest : IDisposable
{
    public SocketPairOfTest()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen(1);
        Peer = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        Peer.Connect(listener.LocalEndPoint!);
        Here = listener.Accept();
        Here.NoDelay = true;
    }

    public Socket Here { get; }

    public Socket Peer { get; }

    public int HereFd => (int)Here.Handle;

    public void Dispose()
    {
        Here.Dispose();
        Peer.Dispose();
    }
}
