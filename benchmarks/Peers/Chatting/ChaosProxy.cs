using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers.Chatting;

/// <summary>
/// A bad network between one client and the server: bytes come in random pieces, late, and sometimes not for a while.
/// The seed decides all of it but the moment. Whoever is to lose its connection is reset, both ways.
/// </summary>
internal sealed class ChaosProxy : IDisposable
{
    private const int PieceBytes = 4096;
    private const double LateShare = 0.05, StallShare = 0.002;

    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly List<Socket> _sockets = [];
    private readonly int _server;
    private readonly int _seed;

    public ChaosProxy(int server, int seed)
    {
        (_server, _seed) = (server, seed);
        _listener.Start(1);
        _ = CarryAsync();
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>RST to both ends.</summary>
    public void Reset()
    {
        lock (_sockets)
        {
            foreach (var socket in _sockets)
                socket.Close(0);
        }
    }

    public void Dispose()
    {
        _listener.Stop();
        Reset();
    }

    private async Task CarryAsync()
    {
        try
        {
            var client = Add(await _listener.AcceptSocketAsync());
            var server = Add(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
            await server.ConnectAsync(IPAddress.Loopback, _server);
            await Task.WhenAll(PumpAsync(client, server, new Random(_seed)),
                PumpAsync(server, client, new Random(~_seed)));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Reset(); // an end was reset: so is the other
        }
    }

    private Socket Add(Socket socket)
    {
        socket.NoDelay = true;
        socket.LingerState = new LingerOption(true, 0);
        lock (_sockets)
            _sockets.Add(socket);
        return socket;
    }

    private static async Task PumpAsync(Socket from, Socket to, Random random)
    {
        var bytes = new byte[PieceBytes];
        while (await from.ReceiveAsync(bytes.AsMemory(0, random.Next(1, PieceBytes))) is var got and > 0)
        {
            for (var sent = 0; sent < got;)
            {
                var chance = random.NextDouble();
                if (chance < StallShare)
                    await Task.Delay(random.Next(100, 400));
                else if (chance < LateShare)
                    await Task.Delay(random.Next(1, 20));
                sent += await to.SendAsync(bytes.AsMemory(sent, Math.Min(got - sent, random.Next(1, PieceBytes))));
            }
        }

        to.Shutdown(SocketShutdown.Send);
    }
}
