using System.Diagnostics;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Stampeding;

/// <summary>
/// Everything ends at random, under load. One server stays and must still serve afterwards, another is stopped and
/// started again on the same port with other limits. It has a process of its own: what that holds in the end is what
/// was left behind.
/// </summary>
internal sealed class Stampede(EngineKind engine, int seed) : IAsyncDisposable
{
    private const int Clients = 16;

    private static readonly string[] Left =
        ["connections_current", "buffers_outstanding", "bytes_held", "send_queue_bytes", "tasks_waiting"];

    private static readonly TimeSpan SettleMax = TimeSpan.FromSeconds(20);

    private readonly StampedeWatch _watch = new();
    private readonly StampedeServer _stays = new(engine, seed, [$"tcp://{StampedeServer.Address}:0",
        $"unix:@mortise-stampede-{Environment.ProcessId}"]);

    // Nobody connects from this address: its port cannot be taken while the listener is away.
    private readonly StampedeServer _restarts = new(engine, seed + 1, [$"tcp://{StampedeServer.Address}:0"]);

    /// <summary>Prints one line of <c>name=value</c>: what was done, and what is left.</summary>
    /// <param name="engine">As the command writes it.</param>
    /// <param name="milliseconds">Of trouble.</param>
    /// <param name="seed">Of everybody's choices; what the kernel makes of them is its own.</param>
    public static async Task<int> RunAsync(string engine, int milliseconds, int seed)
    {
        var kind = Enum.Parse<EngineKind>(engine.Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
        var sockets = OpenSockets();
        Dictionary<string, long> counts;
        await using (var stampede = new Stampede(kind, seed))
        {
            counts = await stampede.RunAsync(TimeSpan.FromMilliseconds(milliseconds));
        }

        ControlLine.Collect(); // finalizers tell of tasks whose exceptions nobody looked at
        // what is read here counts, not what another look would show
        await UntilAsync(() =>
        {
            foreach (var (name, value) in Stats())
                counts[name] = value;
            counts["sockets"] = Math.Max(0, OpenSockets() - sockets);
            return counts["sockets"] + Left.Sum(name => counts[name]) == 0;
        });
        counts["surprises"] = StampedeWatch.Surprises;
        Console.WriteLine(string.Join(' ', counts.Select(c => $"{c.Key}={c.Value}")));
        return 0;
    }

    public async ValueTask DisposeAsync()
    {
        await _restarts.DisposeAsync();
        await _stays.DisposeAsync();
    }

    private async Task<Dictionary<string, long>> RunAsync(TimeSpan time)
    {
        using var over = new CancellationTokenSource(time);
        Endpoint[] places = [.. _stays.Places, .. _restarts.Places];
        var clients = Enumerable.Range(0, Clients)
            .Select(i => new StampedeClient($"client {i}", engine, seed + i, places, _watch)).ToArray();
        var deeds = new Dictionary<string, long>(StringComparer.Ordinal);
        await Task.WhenAll([.. clients.Select(c => Task.Run(() => c.RunAsync(over.Token), CancellationToken.None)),
            Task.Run(() => TroubleAsync(clients, deeds, over.Token), CancellationToken.None)]);
        _watch.Stop();
        await UntilAsync(() => _stays.Now.Statistics.Current == 0);
        deeds["accepted"] = _stays.Now.Statistics.Accepted;
        deeds["thrown"] = _stays.Thrown + _restarts.Thrown;
        deeds["unserved"] = _stays.Places.Length;
        foreach (var place in _stays.Places)
            if (await StampedeClient.IsServedAsync(place, engine))
                deeds["unserved"]--;
        return deeds;
    }

    /// <summary>Every 10 ms one of seven things, until it is over.</summary>
    private async Task TroubleAsync(StampedeClient[] clients, Dictionary<string, long> deeds, CancellationToken over)
    {
        var random = new Random(seed);
        while (!over.IsCancellationRequested)
        {
            await Task.Delay(10, CancellationToken.None);
            var server = random.Next(2) == 0 ? _stays : _restarts;
            var live = server.Now.Connections;
            var victim = live.Count > 0 ? live[random.Next(live.Count)] : null;
            var deed = random.Next(7) switch
            {
                0 when victim is not null => ("disposed", victim.DisposeAsync().AsTask()),
                1 when victim is not null => ("aborted", Done(() => victim.Abort())),
                2 when victim is not null => ("input_ended", Done(() => victim.EndInput(CloseReason.Idle))),
                3 => ("restarted", _restarts.RestartAsync()),
                4 => ("cancelled", Done(clients[random.Next(Clients)].CancelWait)),
                5 => ("will_throw", Done(server.ThrowNext)),
                6 => ("limits_changed", Done(server.ChangeLimits)),
                _ => ("nobody_there", Task.CompletedTask),
            };
            _watch.Beat("trouble", deed.Item1);
            deeds[deed.Item1] = deeds.GetValueOrDefault(deed.Item1) + 1;
            if (deed.Item1 == "restarted")
                await deed.Item2; // else two would want the same port
        }
    }

    private static Task Done(Action action)
    {
        action();
        return Task.CompletedTask;
    }

    private static Dictionary<string, long> Stats() => ControlLine.Stats().Split(' ').Select(pair => pair.Split('='))
        .Where(pair => Left.Contains(pair[0])).ToDictionary(pair => pair[0], pair => long.Parse(pair[1]));

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (var since = Stopwatch.StartNew(); since.Elapsed < SettleMax && !condition();)
            await Task.Delay(20);
    }

    /// <summary>Files and event queues come and go with the runtime; sockets are ours.</summary>
    private static int OpenSockets() => ServerProcess.Links(Environment.ProcessId)
        .Count(link => link.StartsWith("socket:", StringComparison.Ordinal));
}
