using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers;

/// <summary>
/// The load for machines without a C compiler: same arguments, pattern idea and output line as native/load.c. One
/// thread takes the connections in turn with blocking sockets; the server's CPU comes in ticks of 10 ms.
/// </summary>
internal static class ManagedLoad
{
    public static int Run(int[] arguments)
    {
        if (arguments is not [var port, var serverId, var connections, var bytes, var inFlight,
            var warmMs, var measureMs, var seed])
            return 2;
        var message = new byte[bytes * inFlight];
        new Random(seed).NextBytes(message);
        var sockets = Enumerable.Range(0, connections).Select(_ => Connect(port)).ToArray();
        var echo = new byte[message.Length];
        var sentAt = new long[connections];
        for (var i = 0; i < connections; i++)
            Send(sockets[i], message, ref sentAt[i]);

        var latencies = new List<long>();
        Turn(sockets, message, echo, sentAt, warmMs, latencies);
        latencies.Clear();
        using var server = Process.GetProcessById(serverId);
        var serverBefore = server.TotalProcessorTime;
        var loadBefore = Environment.CpuUsage.TotalTime;
        var seconds = Turn(sockets, message, echo, sentAt, measureMs, latencies);
        server.Refresh();
        var serverCpuNs = (server.TotalProcessorTime - serverBefore).TotalNanoseconds;
        var loadCpuNs = (Environment.CpuUsage.TotalTime - loadBefore).TotalNanoseconds;
        latencies.Sort();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{latencies.Count * (long)inFlight} {seconds:F6} {serverCpuNs} {loadCpuNs} "
            + $"{Percentile(latencies, 50)} {Percentile(latencies, 99)}"));
        return 0;
    }

    private static double Turn(Socket[] sockets, byte[] message, byte[] echo, long[] sentAt, int milliseconds,
        List<long> latencies)
    {
        var watch = Stopwatch.StartNew();
        while (watch.ElapsedMilliseconds < milliseconds)
        {
            for (var i = 0; i < sockets.Length; i++)
            {
                for (var at = 0; at < echo.Length;)
                {
                    var received = sockets[i].Receive(echo.AsSpan(at));
                    at += received > 0 ? received : throw new InvalidOperationException("the server closed");
                }

                if (!echo.AsSpan().SequenceEqual(message))
                    throw new InvalidOperationException("the echo is not what was sent");
                latencies.Add((long)Stopwatch.GetElapsedTime(sentAt[i]).TotalNanoseconds);
                Send(sockets[i], message, ref sentAt[i]);
            }
        }

        return watch.Elapsed.TotalSeconds;
    }

    private static void Send(Socket socket, byte[] message, ref long sentAt)
    {
        sentAt = Stopwatch.GetTimestamp();
        for (var at = 0; at < message.Length;)
            at += socket.Send(message.AsSpan(at));
    }

    private static Socket Connect(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp)
        {
            NoDelay = true,
            ReceiveTimeout = 5000,
            SendTimeout = 5000,
        };
        socket.Connect(new IPEndPoint(IPAddress.Loopback, port));
        return socket;
    }

    private static long Percentile(List<long> sorted, int percent) =>
        sorted.Count == 0 ? 0 : sorted[(int)((long)sorted.Count * percent / 100)];
}
