using System.Buffers.Binary;
using System.Diagnostics;
using System.Globalization;

namespace Mortise.Peers.Soaking;

/// <summary>
/// Sessions over UDP: a rate that the kernel holds loses nothing, a flood loses what the kernel says, and forged
/// senders fill neither memory nor a stranger's line.
/// </summary>
internal static class UdpSoak
{
    private const int Clients = 4, InFlight = 32, Bytes = 64;
    private const double ForgedMemoryMiBMax = 256;

    private static readonly Endpoint Here = Endpoint.Parse("udp://127.0.0.1:0");
    private static readonly FrameCodec Raw = Codec.Frames(Framing.Parse("raw"));
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static async Task RunAsync(SoakRun run)
    {
        await EchoAsync(run, run.IsQuick ? 20_000 : 1_000_000);
        await FloodAsync(run, run.IsQuick ? 20_000 : 500_000);
        if (ForgedSender.WhyNot() is { } reason)
            Console.WriteLine($"udp: no senders can be forged here: {reason}");
        else
            await ForgeAsync(run, run.IsQuick ? 10_000 : 1_000_000);
    }

    /// <summary>Each client has a window of datagrams under way, so that nobody is sent more than he takes.</summary>
    private static async Task EchoAsync(SoakRun run, int datagrams)
    {
        await using var server = SocketServer.Start(Here, Raw, (s, frame) => s.SendAsync(frame));
        var watch = Stopwatch.StartNew();
        var ends = await Task.WhenAll(Enumerable.Range(0, Clients)
            .Select(i => Task.Run(() => AskAsync(server.Endpoints[0], i, datagrams / Clients))));
        run.Tell("datagrams echoed a second", datagrams / watch.Elapsed.TotalSeconds);
        run.None("echoed: lost", ends.Sum(e => e.Lost));
        run.None("echoed: to the wrong client, or wrong", ends.Sum(e => e.Wrong));
        run.None("echoed: dropped, by us", server.Statistics.Dropped);
        run.None("echoed: dropped, by the kernel", KernelDrops(server.Endpoints[0]));
    }

    private static async Task<(int Lost, int Wrong)> AskAsync(Endpoint at, int client, int datagrams)
    {
        using var socket = DatagramSocket.Connect(at);
        var (batch, message, lost, wrong) = (new DatagramBatch(InFlight, Bytes), new byte[Bytes], 0, 0);
        for (var first = 0; first < datagrams; first += InFlight)
        {
            batch.Clear();
            for (var i = 0; i < InFlight; i++)
            {
                BinaryPrimitives.WriteInt32LittleEndian(message, client);
                BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(4), first + i);
                batch.Add(message);
            }

            await socket.SendBatchAsync(batch);
            using var enough = new CancellationTokenSource(TimeSpan.FromSeconds(2));
            var next = first;
            try
            {
                while (next < first + InFlight)
                {
                    await socket.ReceiveBatchAsync(batch, enough.Token);
                    foreach (var datagram in batch)
                        wrong += IsNext(datagram.Payload.Span, client, next++) ? 0 : 1;
                }
            }
            catch (OperationCanceledException)
            {
                lost += first + InFlight - next;
            }
        }

        return (lost, wrong);
    }

    private static bool IsNext(ReadOnlySpan<byte> message, int client, int number) => message.Length == Bytes
        && BinaryPrimitives.ReadInt32LittleEndian(message) == client
        && BinaryPrimitives.ReadInt32LittleEndian(message[4..]) == number;

    /// <summary>Faster than anybody receives, into a small buffer.</summary>
    private static async Task FloodAsync(SoakRun run, int datagrams)
    {
        var before = RcvbufErrors();
        await using var server = SocketServer.Start(Here, Raw, (_, _) => default,
            o => o.Transport.ReceiveBufferBytes = 16 * 1024);
        using (var socket = DatagramSocket.Connect(server.Endpoints[0]))
        {
            var batch = new DatagramBatch(InFlight, Bytes);
            for (var i = 0; i < InFlight; i++)
                batch.Add(new byte[Bytes]);
            for (var sent = 0; sent < datagrams; sent += InFlight)
                await socket.SendBatchAsync(batch);
        }

        long Known() => server.Statistics.FramesReceived + server.Statistics.Dropped;
        await UntilAsync(() => Known() >= datagrams);
        var kernel = KernelDrops(server.Endpoints[0]);
        run.Tell("flood: received", server.Statistics.FramesReceived);
        run.AtLeast("flood: dropped by the kernel", kernel, 1);
        run.None("flood: unaccounted for", datagrams - Known());
        run.AtMost("flood: our count of drops beyond the kernel's (inbox)", server.Statistics.Dropped - kernel,
            datagrams);
        run.AtMost("flood: RcvbufErrors of /proc/net/snmp, less the drops of the socket",
            Math.Abs(RcvbufErrors() - before - kernel), 0, isJudged: !run.IsQuick); // others count there, too
    }

    /// <summary>Each datagram from somebody else, all of them lies; the handler would answer tenfold.</summary>
    private static async Task ForgeAsync(SoakRun run, int datagrams)
    {
        var most = 0;
        var process = Process.GetCurrentProcess();
        await using var server = SocketServer.Start(Here, Codec.Lines(), async (s, line) =>
        {
            if (line == "friend")
                s.Connection.ConfirmPeer();
            await s.SendAsync(line);
            for (var i = 0; i < 9; i++)
                s.TrySend(line);
        });
        var at = server.Endpoints[0];
        await using var friend = await SocketClient.ConnectAsync(at, Codec.Lines());
        await friend.SendAsync("friend");
        await friend.ReceiveAsync();
        using var victim = DatagramSocket.Bind(Endpoint.Parse("udp://127.77.77.77:0"));
        var suffering = Task.Run(() => SumAsync(victim));
        using var marker = DatagramSocket.Bind(Here);
        using var forged = new ForgedSender(at, run.Seed);
        var resident = process.WorkingSet64;
        var inItsName = 0;
        for (var i = 0; i < datagrams; i++)
        {
            if (i % 1_000 == 0)
            {
                forged.Send(victim.LocalEndpoint, "lie\n"u8);
                inItsName += 4;
                most = Math.Max(most, (int)server.Statistics.Current);
                await Task.Yield();
            }
            else
            {
                forged.SendFromAnybody("lie\n"u8);
            }
        }

        long Known() => server.Statistics.BytesReceived;
        for (var seen = -1L; seen != Known(); await Task.Delay(200))
            seen = Known();
        process.Refresh();
        await marker.SendToAsync(new byte[1], victim.LocalEndpoint); // behind all that was sent to it
        run.Tell("forged: sent", datagrams);
        run.Tell("forged: sessions made", server.Statistics.Accepted);
        run.AtMost("forged: sessions at once", most, server.ConnectionsLimit);
        run.AtLeast("forged: bytes in the victim's name", inItsName, 4);
        run.AtMost("forged: bytes that the victim got", await suffering.WaitAsync(Patience), inItsName);
        run.AtMost("forged: more memory", (process.WorkingSet64 - resident) / 1048576.0, ForgedMemoryMiBMax, "MiB",
            !run.IsQuick);
        await friend.SendAsync("still here");
        string answer;
        do
            answer = await friend.ReceiveAsync(new CancellationTokenSource(Patience).Token);
        while (answer == "friend");
        run.None("forged: friends that lost their place", answer == "still here" ? 0 : 1);
    }

    /// <summary>All that comes, until a datagram of one byte.</summary>
    private static async Task<long> SumAsync(DatagramSocket socket)
    {
        var (batch, sum) = (new DatagramBatch(), 0L);
        while (true)
        {
            await socket.ReceiveBatchAsync(batch);
            foreach (var datagram in batch)
            {
                if (datagram.Length == 1)
                    return sum;
                sum += datagram.Length;
            }
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var since = Stopwatch.GetTimestamp(); !condition() && Stopwatch.GetElapsedTime(since) < Patience;)
            await Task.Delay(10);
    }

    /// <summary>The column <c>drops</c> of the socket's line in /proc/net/udp.</summary>
    private static long KernelDrops(Endpoint at) => File.ReadLines("/proc/net/udp").Skip(1)
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Where(c => c[1].EndsWith($":{at.Port:X4}", StringComparison.Ordinal))
        .Sum(c => long.Parse(c[^1], CultureInfo.InvariantCulture));

    private static long RcvbufErrors()
    {
        var lines = File.ReadLines("/proc/net/snmp").Where(l => l.StartsWith("Udp:", StringComparison.Ordinal))
            .Select(l => l.Split(' ')).ToArray();
        return long.Parse(lines[1][Array.IndexOf(lines[0], "RcvbufErrors")], CultureInfo.InvariantCulture);
    }
}
