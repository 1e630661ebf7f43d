using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers.Soaking;

/// <summary>
/// Clients that mean no good: garbage, a line without an end, half a line and silence, resets, asking much and reading
/// nothing. Each goes on until the server ends it, or for some seconds, and then another comes in its place.
/// </summary>
internal static class HostileClients
{
    private const int EndlessBytes = 2 * 1024 * 1024, PieceBytes = 16 * 1024;

    /// <summary>So many at any time until it is over; how many there were.</summary>
    public static async Task<int> RunAsync(int port, int atOnce, int seed, CancellationToken over)
    {
        var counts = await Task.WhenAll(Enumerable.Range(0, atOnce).Select(async i =>
        {
            var (random, count) = (new Random(seed + i), 0);
            for (; !over.IsCancellationRequested; count++)
                await AttackAsync(port, random, over);
            return count;
        }));
        return counts.Sum();
    }

    private static async Task AttackAsync(int port, Random random, CancellationToken over)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(over);
        limit.CancelAfter(TimeSpan.FromSeconds(random.Next(1, 60)));
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.LingerState = new LingerOption(random.Next(2) == 0, 0);
        var way = random.Next(5);
        if (way == 4)
            socket.ReceiveBufferSize = 4096;
        var bytes = new byte[random.Next(1, PieceBytes)];
        random.NextBytes(bytes);
        try
        {
            await socket.ConnectAsync(IPAddress.Loopback, port, limit.Token);
            switch (way)
            {
                case 0: // garbage, then whatever the server makes of it
                    await socket.SendAsync(bytes, limit.Token);
                    await UntilEndedAsync(socket, limit.Token);
                    break;
                case 1: // a line without an end
                    bytes.AsSpan().Fill((byte)'x');
                    for (var sent = 0; sent < EndlessBytes; sent += bytes.Length)
                        await socket.SendAsync(bytes, limit.Token);
                    await UntilEndedAsync(socket, limit.Token);
                    break;
                case 2: // half a line, and silence
                    await socket.SendAsync("half a li"u8.ToArray(), limit.Token);
                    await UntilEndedAsync(socket, limit.Token);
                    break;
                case 3: // reset at once, often before it was accepted
                    socket.LingerState = new LingerOption(true, 0);
                    await socket.SendAsync(bytes, limit.Token);
                    await Task.Delay(random.Next(20), limit.Token);
                    break;
                default: // asks as much as the server takes, and reads nothing
                    bytes[^1] = (byte)'\n';
                    while (true)
                        await socket.SendAsync(bytes, limit.Token);
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            // the server has ended it, or its time is over
        }
    }

    private static async Task UntilEndedAsync(Socket socket, CancellationToken limit)
    {
        var back = new byte[PieceBytes];
        while (await socket.ReceiveAsync(back, limit) > 0)
        {
        }
    }
}
