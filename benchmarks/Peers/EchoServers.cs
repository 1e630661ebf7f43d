using System.Buffers;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace Mortise.Peers;

/// <summary>The contestants: each echoes on 127.0.0.1, as its users would write it, until it is killed.</summary>
internal static class EchoServers
{
    /// <summary>Order of the table; the first is compared, "socket" is the measure.</summary>
    public static readonly string[] Kinds = ["mortise", "socket", "socket-buffered", "kestrel"];

    /// <summary>Room for the largest message of the loads, so that one receive is enough.</summary>
    private const int BufferBytes = 32 * 1024;

    public static async Task<int> RunAsync(string kind, int port)
    {
        switch (kind)
        {
            case "mortise":
                await SocketServer.RunAsync($"tcp://127.0.0.1:{port}", c => c.Input.CopyToAsync(c.Output, c.Closed));
                return 0;
            case "socket":
                await AcceptAsync(port, EchoWaitingWithoutBufferAsync);
                return 0;
            case "socket-buffered":
                await AcceptAsync(port, EchoKeepingBufferAsync);
                return 0;
            case "kestrel":
                await RunKestrelAsync(port);
                return 0;
            default:
                Console.Error.WriteLine($"no server '{kind}'; there are: {string.Join(", ", Kinds)}");
                return 2;
        }
    }

    private static async Task AcceptAsync(int port, Func<Socket, Task> echo)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, port));
        listener.Listen(4096);
        while (true)
        {
            var socket = await listener.AcceptAsync();
            socket.NoDelay = true;
            _ = echo(socket);
        }
    }

    /// <summary>An idle connection holds no buffer: the same promise as the contestant measured against it.</summary>
    private static async Task EchoWaitingWithoutBufferAsync(Socket socket)
    {
        using (socket)
        {
            while (true)
            {
                await socket.ReceiveAsync(Memory<byte>.Empty);
                var buffer = ArrayPool<byte>.Shared.Rent(BufferBytes);
                var received = await socket.ReceiveAsync(buffer.AsMemory());
                if (received == 0)
                    return;
                await SendAllAsync(socket, buffer.AsMemory(0, received));
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
    }

    /// <summary>For information: what the wait without a buffer costs.</summary>
    private static async Task EchoKeepingBufferAsync(Socket socket)
    {
        var buffer = new byte[BufferBytes];
        using (socket)
        {
            while (await socket.ReceiveAsync(buffer.AsMemory()) is var received and > 0)
                await SendAllAsync(socket, buffer.AsMemory(0, received));
        }
    }

    private static async ValueTask SendAllAsync(Socket socket, ReadOnlyMemory<byte> bytes)
    {
        while (bytes.Length > 0)
            bytes = bytes[await socket.SendAsync(bytes)..];
    }

    private static async Task RunKestrelAsync(int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port,
            listen => listen.UseConnectionHandler<KestrelEcho>()));
        await using var app = builder.Build();
        await app.RunAsync();
    }

    private sealed class KestrelEcho : ConnectionHandler
    {
        public override Task OnConnectedAsync(ConnectionContext connection) =>
            connection.Transport.Input.CopyToAsync(connection.Transport.Output, connection.ConnectionClosed);
    }
}
