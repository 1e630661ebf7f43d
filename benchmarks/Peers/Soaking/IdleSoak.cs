using Mortise.Peers.Running;
using Mortise.Peers.Scaling;

namespace Mortise.Peers.Soaking;

/// <summary>
/// As many connections as one process may hold, and silence: every one answers before and after it, and what they cost
/// meanwhile is little. Idle timers are on, as they are by default.
/// </summary>
internal static class IdleSoak
{
    private const double IdleKiBMax = 2.5, EchoedKiBMax = 3.0, CpuPercentLimit = 1, OfKestrelMax = 0.6;

    public static async Task RunAsync(SoakRun run)
    {
        var connections = run.Connections(usual: 18_000, quick: 300);
        var time = run.Time(TimeSpan.FromMinutes(1), quick: TimeSpan.FromSeconds(0.5));
        double idle;
        using (var server = await ServerProcess.StartHostAsync(run.Kind, run.Engine, null, ServerProcess.FreshPort(),
            false, $"{connections}", "--control"))
        {
            var before = await IdleMemory.WarmAsync(server, IdleMemory.WarmConnections, run.Programs);
            double PerConnection(double rssKiB) => (rssKiB - before) / connections;
            using var holders = await IdleMemory.HoldAsync(server, connections, run.Programs);
            await Task.Delay(time / 20);
            run.Tell("connections", connections);
            idle = PerConnection(ProcessState.RssKiB(server.Id));
            run.AtMost("memory per connection, idle", idle, IdleKiBMax, "KiB", !run.IsQuick);
            var first = await holders.EchoAsync();
            run.None("lost or wrong before the silence", connections - first.Right);
            run.AtMost("memory per connection after an echo", PerConnection(ProcessState.RssKiB(server.Id)),
                EchoedKiBMax, "KiB", !run.IsQuick);
            var cpuPercent = await ProcessState.CpuPercentAsync(server.Id, time);
            run.Below($"CPU in {time.TotalSeconds:F0} s of silence", cpuPercent, CpuPercentLimit, "%", !run.IsQuick);
            var second = await holders.EchoAsync();
            run.None("lost or wrong after the silence", connections - second.Right);
            run.AtMost("memory per connection at the end", PerConnection(ProcessState.RssKiB(server.Id)), EchoedKiBMax,
                "KiB", !run.IsQuick);
            run.Tell("the same after a collection", PerConnection(await IdleMemory.CollectedAsync(server)), "KiB");
        }

        if (run.IsQuick)
            return;
        var kestrel = await IdleMemory.MeasureAsync("kestrel", null, connections, TimeSpan.FromSeconds(1),
            run.Programs);
        run.AtMost("idle memory, of Kestrel's", idle / kestrel.PerConnection(kestrel.Idle), OfKestrelMax);
    }
}
