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
        using var servers = await ServerRow.StartAsync(kind, engine, processes, connectionsMax);
        var (rss, kernel) = (servers.RssKiB, ProcessState.KernelKiB());
        var watch = Stopwatch.StartNew();
        using var holders = await servers.HoldAsync(connections, programs);
        var seconds = watch.Elapsed.TotalSeconds;
        var (right, wrong) = await holders.EchoAsync();
        return new(kind, processes, connections, right, wrong, servers.Descriptors, seconds, servers.RssKiB - rss,
            ProcessState.KernelKiB() - kernel);
    }
}
