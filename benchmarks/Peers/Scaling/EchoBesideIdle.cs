using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Scaling;

/// <summary>One pair of windows: server CPU per message with so many idle connections, and with none.</summary>
internal sealed record EchoBesideIdle(string Server, int Idle, double NsWithIdle, double NsWithNone)
{
    public const double RatioMax = 1.05;

    /// <summary>Pairs from one start of both servers; then they are started afresh.</summary>
    private const int PairsPerStart = 5;

    private static readonly LoadShape Shape = LoadShape.All[1];

    public double Ratio => NsWithIdle / NsWithNone;

    public static async Task<List<EchoBesideIdle>> MeasureAsync(Contestant contestant, int idle, int rounds,
        TimeSpan window, TimeSpan warmMax, NativePrograms programs, BenchOptions options)
    {
        var pairs = new List<EchoBesideIdle>();
        while (pairs.Count < rounds)
        {
            string[] limit = [$"{idle + Shape.Connections}"];
            using var alone = await ServerProcess.StartAsync(contestant, programs, options.Cpu, limit);
            using var busy = await ServerProcess.StartAsync(contestant, programs, options.Cpu, limit);
            using var holders = await Holders.ConnectAsync(programs, busy.Port, idle);
            await ProcessState.UntilDescriptorsAsync(busy.Id, count => count >= idle);
            using var loadOfAlone = await LoadProcess.StartAsync(alone, Shape, programs, options.Cpu, 1, false);
            using var loadOfBusy = await LoadProcess.StartAsync(busy, Shape, programs, options.Cpu, 1, false);
            await loadOfAlone.WarmAsync(warmMax / 8, warmMax);
            await loadOfBusy.WarmAsync(warmMax / 8, warmMax);
            for (var i = 0; i < PairsPerStart && pairs.Count < rounds; i++)
            {
                var withNone = await loadOfAlone.RunAsync(window);
                var withIdle = await loadOfBusy.RunAsync(window);
                withIdle = LoadResult.Join(withIdle, await loadOfBusy.RunAsync(window));
                withNone = LoadResult.Join(withNone, await loadOfAlone.RunAsync(window));
                pairs.Add(new(contestant.Name, idle, withIdle.ServerCpuNs / withIdle.Messages,
                    withNone.ServerCpuNs / withNone.Messages));
            }
        }

        return pairs;
    }
}
