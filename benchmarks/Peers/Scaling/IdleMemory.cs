using System.Globalization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Scaling;

/// <summary>Resident memory of one server process as its connections come and speak once, in KiB.</summary>
/// <param name="Server">What was started.</param>
/// <param name="Engine">What was asked for; null for servers that are not ours.</param>
/// <param name="Connections">Held by the load.</param>
/// <param name="Base">Before, with everything warm and collected.</param>
/// <param name="Idle">With all connections, as it stands.</param>
/// <param name="IdleCollected">After a full collection: what the connections really hold.</param>
/// <param name="ObjectBytes">Bytes of managed objects that each connection keeps alive: the same in every
/// run.</param>
/// <param name="IdleCpuPercent">Of one CPU, while nothing happens.</param>
/// <param name="Echoed">After one echo on each, as it stands.</param>
/// <param name="EchoedCollected">After another full collection.</param>
/// <param name="Wrong">Echoes that did not come back as they were sent.</param>
internal sealed record IdleMemory(string Server, string? Engine, int Connections, double Base, double Idle,
    double IdleCollected, double ObjectBytes, double IdleCpuPercent, double Echoed, double EchoedCollected, int Wrong)
{
    public const int WarmConnections = 200;

    /// <summary>What a runtime opens for itself with the first connection: its epoll, a pipe, libraries.</summary>
    private const int RuntimeDescriptorsMax = 20;

    public double PerConnection(double rssKiB) => (rssKiB - Base) / Connections;

    public static async Task<IdleMemory> MeasureAsync(string kind, string? engine, int connections, TimeSpan idle,
        NativePrograms programs)
    {
        using var server = await ServerProcess.StartHostAsync(kind, engine, null, ServerProcess.FreshPort(), false,
            $"{connections}", "--control");
        var before = await WarmAsync(server, Math.Min(WarmConnections, connections), programs);
        var objects = await ObjectBytesAsync(server);
        using var holders = await HoldAsync(server, connections, programs);
        await Task.Delay(idle / 10);
        var cpuPercent = await ProcessState.CpuPercentAsync(server.Id, idle);
        var asItStands = ProcessState.RssKiB(server.Id);
        var collected = await CollectedAsync(server);
        objects = (await ObjectBytesAsync(server) - objects) / connections;
        var (_, wrong) = await holders.EchoAsync();
        var echoed = ProcessState.RssKiB(server.Id);
        return new(kind, engine, connections, before, asItStands, collected, objects, cpuPercent, echoed,
            await CollectedAsync(server), wrong);
    }

    /// <summary>Lets a few come, echo and go; resident memory then, after a collection, in KiB.</summary>
    public static async Task<double> WarmAsync(ServerProcess server, int connections, NativePrograms programs)
    {
        var atStart = ProcessState.Descriptors(server.Id);
        using (var warm = await Holders.ConnectAsync(programs, server.Port, connections))
        {
            await warm.EchoAsync();
            await warm.CloseAsync();
        }

        await ProcessState.UntilDescriptorsAsync(server.Id, count => count <= atStart + RuntimeDescriptorsMax);
        return await CollectedAsync(server);
    }

    /// <summary>Returns when the server has accepted all.</summary>
    public static async Task<Holders> HoldAsync(ServerProcess server, int connections, NativePrograms programs)
    {
        // Some of those that have gone may still be closing.
        var withNone = ProcessState.Descriptors(server.Id) - RuntimeDescriptorsMax;
        var holders = await Holders.ConnectAsync(programs, server.Port, connections);
        try
        {
            await ProcessState.UntilDescriptorsAsync(server.Id, count => count >= withNone + connections);
            return holders;
        }
        catch
        {
            holders.Dispose();
            throw;
        }
    }

    private static async Task<double> ObjectBytesAsync(ServerProcess server) =>
        double.Parse(await server.AskAsync("heap"), CultureInfo.InvariantCulture);

    public static async Task<double> CollectedAsync(ServerProcess server)
    {
        await server.AskAsync("collect");
        return ProcessState.RssKiB(server.Id);
    }
}
