using System.Diagnostics;
using System.Globalization;
using Mortise.Peers.Running;
using Mortise.Peers.Scaling;
using Mortise.Peers.Soaking;

namespace Mortise.Peers.Chatting;

/// <summary>
/// A terminal (nc) that is stopped while others flood: how long their lines take to each other meanwhile, what the
/// server holds, and what the terminal is told when it goes on.
/// </summary>
internal static class StoppedReader
{
    private const int Listeners = 10, LinesPerSecond = 500, LineBytes = 1000, MillisecondsPerBatch = 10;
    private const double LatencyMsMax = 50, GrowthMiBMax = 32;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    public static async Task RunAsync(SoakRun run)
    {
        var time = run.IsQuick ? TimeSpan.FromSeconds(3) : TimeSpan.FromSeconds(30);
        using var server = await ChatServer.StartAsync(run.Engine, "--send-queue", "256KiB", "--sndbuf", "64KiB");
        var listeners = new List<Session<string>>();
        for (var i = 0; i <= Listeners; i++)
        {
            listeners.Add(await SocketClient.ConnectAsync($"tcp://127.0.0.1:{server.Lines}", Codec.Lines(),
                o => o.Transport.Engine = EngineKind.Managed));
            await listeners[i].ReceiveAsync().AsTask().WaitAsync(Patience);
        }

        var seen = Path.GetTempFileName();
        using var nc = Process.Start(new ProcessStartInfo("sh",
            ["-c", $"exec nc 127.0.0.1 {server.Lines} > '{seen}'"]) { RedirectStandardInput = true })!;
        try
        {
            await UntilSeenAsync(seen, "* welcome");
            await SignalAsync(nc, "STOP");
            var before = ProcessState.RssKiB(server.Id);
            var latencies = listeners.Skip(1).Select(HearAsync).ToList();
            var said = await FloodAsync(listeners[0], time);
            var heard = await Task.WhenAll(latencies).WaitAsync(Patience);
            run.None("lines that a reader lost beside a stopped one", heard.Sum(h => Math.Abs(said - h.Count)));
            run.Tell("lines said", said);
            var all = heard.SelectMany(h => h).Order().ToList();
            run.AtMost("p99 of their delivery", all[(int)(all.Count * 0.99)], LatencyMsMax, "ms", !run.IsQuick);
            run.AtMost("memory grows", (ProcessState.RssKiB(server.Id) - before) / 1024, GrowthMiBMax, "MiB",
                !run.IsQuick);
            await SignalAsync(nc, "CONT");
            await UntilSeenAsync(seen, "the end");
            var lines = await File.ReadAllLinesAsync(seen);
            var told = lines.Where(l => l.Contains("you read too slowly")).Sum(l => long.Parse(l.Split(' ')[^2],
                NumberStyles.AllowThousands, CultureInfo.InvariantCulture));
            run.AtLeast("missed by the stopped one, as it was told", told, 1);
            run.None("neither read by it nor told as missed",
                said + 1 - told - lines.Count(l => l.StartsWith("[lobby]", StringComparison.Ordinal)));
            run.None("told otherwise by the metric",
                told - await server.MetricAsync("mortise_dropped_total{reason=\"slow_reader\"}"));
            run.AtLeast("lines of the log that name it", server.Log.Contains("reads too slowly") ? 1 : 0, 1);
        }
        finally
        {
            nc.Kill();
            await nc.WaitForExitAsync();
            listeners.ForEach(l => l.Abort());
            File.Delete(seen);
        }
    }

    private static async Task<int> FloodAsync(Session<string> talker, TimeSpan time)
    {
        var (said, padding) = (0, new string('.', LineBytes));
        for (var watch = Stopwatch.StartNew(); watch.Elapsed < time; await Task.Delay(MillisecondsPerBatch))
            for (; said < watch.Elapsed.TotalSeconds * LinesPerSecond; said++)
                await talker.SendAsync(string.Create(CultureInfo.InvariantCulture,
                    $"{Stopwatch.GetTimestamp()} {padding}"));
        await talker.SendAsync("the end");
        return said;
    }

    /// <summary>Milliseconds that each line took.</summary>
    private static async Task<List<double>> HearAsync(Session<string> listener)
    {
        var latencies = new List<double>();
        await foreach (var line in listener.Messages)
        {
            if (line.EndsWith("the end", StringComparison.Ordinal))
                return latencies;
            if (line.StartsWith('[') && line.Split(' ') is [_, _, var stamp, ..])
                latencies.Add(Stopwatch.GetElapsedTime(long.Parse(stamp, CultureInfo.InvariantCulture))
                    .TotalMilliseconds);
        }

        throw new BenchException("the server sent a reader away");
    }

    private static async Task UntilSeenAsync(string file, string text)
    {
        for (var watch = Stopwatch.StartNew(); !(await File.ReadAllTextAsync(file)).Contains(text);
            await Task.Delay(50))
            if (watch.Elapsed > Patience)
                throw new BenchException($"the terminal does not show '{text}'");
    }

    private static async Task SignalAsync(Process process, string signal)
    {
        using var kill = Process.Start("kill", ["-" + signal, $"{process.Id}"]);
        await kill.WaitForExitAsync();
    }
}
