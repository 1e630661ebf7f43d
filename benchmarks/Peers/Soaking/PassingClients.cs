using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mortise.Peers.Soaking;

/// <summary>Honest clients that come, say a line, compare what comes back, and go: half by FIN, half by RST.</summary>
internal static class PassingClients
{
    private static readonly TimeSpan AnswerMax = TimeSpan.FromSeconds(10);

    /// <summary>So many a second until it is over; how many were answered right, and how many not.</summary>
    public static async Task<(int Right, int Wrong)> RunAsync(int port, int perSecond, int seed, CancellationToken over)
    {
        var random = new Random(seed);
        var visits = new List<Task<bool>>();
        var (right, wrong) = (0, 0);
        using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1.0 / perSecond));
        while (!over.IsCancellationRequested)
        {
            await timer.WaitForNextTickAsync(CancellationToken.None);
            visits.Add(VisitAsync(port, new Random(random.Next())));
            foreach (var done in visits.Where(v => v.IsCompleted).ToList())
            {
                visits.Remove(done);
                Count(await done);
            }
        }

        foreach (var isRight in await Task.WhenAll(visits))
            Count(isRight);
        return (right, wrong);

        void Count(bool isRight) => _ = isRight ? right++ : wrong++;
    }

    /// <summary>Whether the line came back as it was sent, in time.</summary>
    public static async Task<bool> VisitAsync(int port, Random random)
    {
        using var limit = new CancellationTokenSource(AnswerMax);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var line = Encoding.ASCII.GetBytes(new string((char)random.Next('a', 'z'), random.Next(2000)) + "\n");
        var (back, at) = (new byte[line.Length + 1], 0); // one more than there should be
        try
        {
            await socket.ConnectAsync(IPAddress.Loopback, port, limit.Token);
            await socket.SendAsync(line, limit.Token);
            for (int received; at < line.Length; at += received)
                if ((received = await socket.ReceiveAsync(back.AsMemory(at), limit.Token)) == 0)
                    break;
            if (random.Next(2) == 0)
                socket.LingerState = new LingerOption(true, 0);
            return back.AsSpan(0, at).SequenceEqual(line);
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException)
        {
            Console.WriteLine($"an honest client: {e.Message}");
            return false;
        }
    }
}
