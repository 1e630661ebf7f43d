using System.Diagnostics;
using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

/// <summary>Connections spread by the kernel (SO_REUSEPORT) over several server processes on one port.</summary>
/// <param name="Server">What was started.</param>
/// <param name="Processes">How many of it.</param>
/// <param name="Connections">All together.</param>
/// <param name="Right">Connections whose echo came back as it was sent.</param>
/// <param name="Wrong">All others.</param>
/// <param name="PerProcess">Descriptors of each process at the height.</param>
/// <param name="ConnectSeconds">Until all were connected and accepted.</param>
/// <param name="RssKiB">Of all server processes together, more than before.</param>
/// <param name="KernelKiB">Of the kernel, both ends of every connection, more than before.</param>
internal sealed record ManyProcesses(string Server, int Processes, int Connections, int Right, int Wrong,
    int[] PerProcess, double ConnectSeconds, double RssKiB, double KernelKiB)
{
    public static async Task<ManyProcesses> MeasureAsync(string kind, string? engine, int processes, int connections,
        int connectionsMax, NativePrograms programs)
    {
        var servers = new List<ServerProcess>();
        try
        {
            var port = ServerProcess.FreshPort();
            for (var i = 0; i < processes; i++)
                servers.Add(await ServerProcess.StartHostAsync(kind, engine, null, port, isShared: true,
                    $"{connectionsMax}", "--reuse-port"));
            double Rss() => servers.Sum(s => ProcessState.RssKiB(s.Id));
            int Descriptors() => servers.Sum(s => ProcessState.Descriptors(s.Id));
            var (rss, kernel, descriptors) = (Rss(), ProcessState.KernelKiB(), Descriptors());
            var watch = Stopwatch.StartNew();
            using var holders = await Holders.ConnectAsync(programs, port, connections);
            while (Descriptors() < descriptors + connections && watch.Elapsed < TimeSpan.FromMinutes(2))
                await Task.Delay(100);
            var seconds = watch.Elapsed.TotalSeconds;
            var (right, wrong) = await holders.EchoAsync();
            return new(kind, processes, connections, right, wrong,
                [.. servers.Select(s => ProcessState.Descriptors(s.Id))], seconds, Rss() - rss,
                ProcessState.KernelKiB() - kernel);
        }
        finally
        {
            foreach (var server in servers)
                server.Dispose();
        }
    }
}
