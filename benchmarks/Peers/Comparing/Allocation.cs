using System.Globalization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Comparing;

/// <summary>Managed bytes that a server allocated while it answered so many messages, all threads together.</summary>
internal sealed record Allocation(string Server, string? EngineSeen, long Messages, double Bytes)
{
    private static readonly LoadShape Shape = LoadShape.All[1];

    /// <summary>What the two questions themselves allocate is in it: less than 1 KiB.</summary>
    public double BytesPerMessage => Bytes / Messages;

    /// <exception cref="BenchException">The server or the load failed.</exception>
    public static async Task<Allocation> MeasureAsync(Contestant contestant, NativePrograms programs,
        BenchOptions options)
    {
        var messagesWanted = options.Quick ? 1_000 : 1_000_000;
        using var server = await ServerProcess.StartAsync(contestant, programs, options.Cpu, "--control");
        using var load = await LoadProcess.StartAsync(server, Shape, programs, options.Cpu, options.Seed,
            contestant.TakesLines);
        var warm = TimeSpan.FromSeconds(options.Quick ? 0.1 : 1);
        await load.WarmAsync(warm, options.Quick ? warm : warm * 8);
        await AllocatedAsync(server); // the first question compiles its own answer
        var (messages, before) = (0L, await AllocatedAsync(server));
        while (messages < messagesWanted)
            messages += (await load.RunAsync(TimeSpan.FromSeconds(options.Quick ? 0.05 : 0.2))).Messages;
        return new(contestant.Name, contestant.Engine is null ? null : server.EngineSeen(), messages,
            await AllocatedAsync(server) - before);
    }

    private static async Task<double> AllocatedAsync(ServerProcess server) =>
        double.Parse(await server.AskAsync("allocated"), CultureInfo.InvariantCulture);
}
