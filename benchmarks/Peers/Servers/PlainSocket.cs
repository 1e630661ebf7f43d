using System.Buffers;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers.Servers;

/// <summary>.NET's own Socket with async and await. An idle connection holds no buffer, as ours holds none.</summary>
internal static class PlainSocket
{
    /// <summary>Room for the largest message of the loads, so that one receive is enough.</summary>
    private const int BufferBytes = 32 * 1024;

    public static async Task RunAsync(int port)
    {
        using var listener = Listen(port);
        while (true)
        {
            var socket = await listener.AcceptAsync();
            socket.NoDelay = true;
            _ = EchoAsync(socket);
        }
    }

    /// <summary>Loopback, without SO_REUSEADDR, with the backlog of the C servers.</summary>
    public static Socket Listen(int port)
    {
        var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
        listener.Listen(4096);
        return listener;
    }

    private static async Task EchoAsync(Socket socket)
    {
        using (socket)
        {
            try
            {
                while (true)
                {
                    await socket.ReceiveAsync(Memory<byte>.Empty);
                    var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
                    var received = await socket.ReceiveAsync(buffer.AsMemory());
                    if (received == 0)
                        return;
                    for (var at = 0; at < received;)
                        at += await socket.SendAsync(buffer.AsMemory(at, received - at));
                    ArrayPool<byte>.Shared.Return(buffer);
                }
            }
            catch (SocketException)
            {
                // the load ends its connections with a reset
            }
        }
    }
}
