using System.Diagnostics;
using Mortise.Peers.Scaling;

namespace Mortise.Peers.Soaking;

/// <summary>
/// More connections than a process may hold, over several servers on one port, for a long time: all of them answer a
/// ping every minute. The servers' idle timeout is longer than that, so nobody may be let go.
/// </summary>
internal static class ManySoak
{
    private const int ConnectionsMaxPerServer = 18_500;
    private const double ServersMiBMax = 600;

    public static async Task RunAsync(SoakRun run)
    {
        var connections = run.Connections(usual: 100_000, quick: 400);
        var time = run.Time(TimeSpan.FromMinutes(10), quick: TimeSpan.FromSeconds(1));
        var between = run.IsQuick ? TimeSpan.FromSeconds(0.5) : TimeSpan.FromMinutes(1);
        using var servers = await ServerRow.StartAsync(run.Kind, run.Engine, run.IsQuick ? 2 : 6,
            ConnectionsMaxPerServer);
        using var holders = await servers.HoldAsync(connections, run.Programs);
        run.Tell("connections", connections);
        var (pings, lost, rssKiBMax) = (0, 0, 0.0);
        for (var watch = Stopwatch.StartNew(); ; await Task.Delay(between))
        {
            var (right, _) = await holders.EchoAsync();
            (pings, lost) = (pings + 1, Math.Max(lost, connections - right));
            rssKiBMax = Math.Max(rssKiBMax, servers.RssKiB);
            if (watch.Elapsed >= time)
                break;
            if (!run.IsQuick)
                Console.WriteLine($"{watch.Elapsed.TotalMinutes:F0} min: {right} of {connections} answer, "
                    + $"{servers.RssKiB / 1024:F0} MiB");
        }

        run.Tell("pings of each", pings);
        run.None("lost or wrong", lost);
        run.AtMost("memory of all servers", rssKiBMax / 1024, ServersMiBMax, "MiB", !run.IsQuick);
        var most = servers.Descriptors.Max();
        run.Tell("descriptors of the fullest server", most);
    }
}
