using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Comparing;

/// <summary>A server and the raw C one, side by side in alternating windows.</summary>
/// <param name="Round">Counted from 1.</param>
/// <param name="Load">As <see cref="LoadShape.ToString"/>.</param>
/// <param name="Server">The contestant.</param>
/// <param name="EngineSeen">What carried it, where it is ours.</param>
/// <param name="Its">What the contestant's windows saw.</param>
/// <param name="Measure">What those of the raw C server saw.</param>
internal sealed record Pair(int Round, string Load, string Server, string? EngineSeen, LoadResult Its,
    LoadResult Measure)
{
    public double CpuRatio => Its.ServerCpuNs / Its.Messages / (Measure.ServerCpuNs / Measure.Messages);

    /// <summary>NaN where the machine does not count cycles.</summary>
    public double CycleRatio => Its.Cycles > 0 && Measure.Cycles > 0
        ? Its.Cycles / Its.Messages / (Measure.Cycles / Measure.Messages) : double.NaN;

    public double P99Ratio => Its.P99Ns / Measure.P99Ns;
}

/// <summary>
/// Starts both servers afresh, warms both, and lets the windows alternate (A B B A, in the next round B A A B), so
/// that a drift of the machine's mood meets both alike.
/// </summary>
internal sealed class PairRunner(NativePrograms programs, BenchOptions options, string against = Contestant.Measure,
    string loadProgram = "load")
{
    private static readonly TimeSpan WarmNative = TimeSpan.FromMilliseconds(150);

    private readonly TimeSpan _window = TimeSpan.FromSeconds((options.Seconds ?? (options.Quick ? 0.1 : 0.6)) / 2);

    /// <summary>Measured of each of the two servers, in two windows.</summary>
    public double SecondsEach => 2 * _window.TotalSeconds;

    public Task<Pair> RunAsync(int round, Contestant contestant, LoadShape shape) => RunAsync(round, contestant, shape,
        options.Cpu, load => load.RunAsync(_window));

    /// <summary>Both at the same pace; the load has a CPU of its own, so that it can be on time.</summary>
    public Task<Pair> PaceAsync(int round, Contestant contestant, LoadShape shape, double messagesPerSecond) =>
        RunAsync(round, contestant, shape, options.LoadCpu, load => load.PaceAsync(_window, messagesPerSecond));

    /// <summary>The most that the raw C server answers in a closed loop, with the load on a CPU of its own.</summary>
    public async Task<double> SaturationAsync(LoadShape shape)
    {
        var measure = Contestant.Named(Contestant.Measure);
        using var server = await ServerProcess.StartAsync(measure, programs, options.Cpu);
        using var load = await LoadProcess.StartAsync(server, shape, programs, options.LoadCpu, options.Seed, false);
        await load.WarmAsync(WarmNative, WarmNative);
        var rates = new List<double>();
        for (var i = 0; i < 5; i++)
        {
            var result = await load.RunAsync(_window);
            rates.Add(result.Messages / result.Seconds);
        }

        return Interval.MedianOf(rates);
    }

    private async Task<Pair> RunAsync(int round, Contestant contestant, LoadShape shape, int loadCpu,
        Func<LoadProcess, Task<LoadResult>> window)
    {
        var measure = Contestant.Named(against);
        using var a = await ServerProcess.StartAsync(measure, programs, options.Cpu);
        using var b = await ServerProcess.StartAsync(contestant, programs, options.Cpu);
        var lines = contestant.TakesLines;
        using var loadOfA = await LoadProcess.StartAsync(a, shape, programs, loadCpu, options.Seed + round, lines,
            loadProgram);
        using var loadOfB = await LoadProcess.StartAsync(b, shape, programs, loadCpu, options.Seed + round, lines,
            loadProgram);
        await loadOfA.WarmAsync(WarmNative, WarmNative);
        await WarmAsync(loadOfB, contestant.Family);

        var (first, second) = round % 2 == 1 ? (loadOfA, loadOfB) : (loadOfB, loadOfA);
        var (one, two) = (await window(first), await window(second));
        two = LoadResult.Join(two, await window(second));
        one = LoadResult.Join(one, await window(first));
        var (its, measured) = round % 2 == 1 ? (two, one) : (one, two);
        var seen = contestant.Family == Family.Mortise ? b.EngineSeen() : null;
        return new Pair(round, shape.ToString(), contestant.Name, seen, its, measured);
    }

    /// <summary>A runtime that compiles while it runs gets the time to become quiet; C needs its caches only.</summary>
    private Task WarmAsync(LoadProcess load, Family family) => (family, options.Quick) switch
    {
        (Family.Native, _) => load.WarmAsync(WarmNative, WarmNative),
        (_, true) => load.WarmAsync(TimeSpan.FromSeconds(0.2), TimeSpan.FromSeconds(0.2)),
        _ => load.WarmAsync(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8)),
    };
}
