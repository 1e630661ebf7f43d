using System.Globalization;

namespace Mortise.Peers.Running;

/// <summary>What one window of the load saw; a counter is negative where the machine does not count.</summary>
internal sealed record LoadResult(long Messages, double Seconds, double ServerCpuNs, double LoadCpuNs,
    double P50Ns, double P99Ns, double P999Ns, double UserInstructions, double Cycles)
{
    /// <summary>Two windows of the same server as one; percentiles are their mean.</summary>
    public static LoadResult Join(LoadResult a, LoadResult b) => new(a.Messages + b.Messages, a.Seconds + b.Seconds,
        a.ServerCpuNs + b.ServerCpuNs, a.LoadCpuNs + b.LoadCpuNs, (a.P50Ns + b.P50Ns) / 2, (a.P99Ns + b.P99Ns) / 2,
        (a.P999Ns + b.P999Ns) / 2, a.UserInstructions + b.UserInstructions, a.Cycles + b.Cycles);
}

/// <summary>native/load.c, or crowd.c, with its connections open to one server, obeying window by window.</summary>
internal sealed class LoadProcess : IDisposable
{
    private readonly Child _child;
    private readonly LoadShape _shape;

    private LoadProcess(Child child, LoadShape shape)
    {
        _child = child;
        _shape = shape;
    }

    /// <exception cref="BenchException">A connection failed.</exception>
    public static async Task<LoadProcess> StartAsync(ServerProcess server, LoadShape shape, NativePrograms programs,
        int? cpu, int seed, bool lines, string program = "load")
    {
        int[] numbers =
            [server.Port, server.Id, shape.Connections, shape.ChunkBytes, shape.ChunksOnTheWay, seed];
        var child = Child.Start(cpu, null, programs.PathOf(program),
            [.. numbers.Select(n => n.ToString(CultureInfo.InvariantCulture)), lines ? "lines" : "raw"]);
        try
        {
            await child.ReadAsync();
            return new LoadProcess(child, shape);
        }
        catch
        {
            child.Dispose();
            throw;
        }
    }

    /// <summary>At least this long, and then until the server's JIT is quiet.</summary>
    public Task WarmAsync(TimeSpan min, TimeSpan max) =>
        _child.AskAsync($"warm {(long)min.TotalMilliseconds} {(long)max.TotalMilliseconds}");

    public Task<LoadResult> RunAsync(TimeSpan window) => MeasureAsync($"run {(long)window.TotalMilliseconds}");

    public Task<LoadResult> PaceAsync(TimeSpan window, double messagesPerSecond) =>
        MeasureAsync($"pace {(long)window.TotalMilliseconds} {(long)messagesPerSecond}");

    public void Dispose() => _child.Dispose();

    private async Task<LoadResult> MeasureAsync(string command)
    {
        var line = await _child.AskAsync(command);
        var n = line.Split(' ').Select(field => double.Parse(field, CultureInfo.InvariantCulture)).ToArray();
        var messages = (long)n[0] / _shape.ChunksPerMessage;
        return messages > 0
            ? new LoadResult(messages, n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8])
            : throw new BenchException($"no message came back within {command}");
    }
}
