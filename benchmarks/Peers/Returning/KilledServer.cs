using System.Diagnostics;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Returning;

/// <summary>
/// A server is killed (SIGKILL) and started again at random moments while clients of all policies send and ask. What
/// each was told of each message is then compared with what the server had written down.
/// </summary>
internal sealed class KilledServer(string engine, int seed, Endpoint endpoint, string path) : IDisposable
{
    private const int BufferBytes = 4096;

    private static readonly TimeSpan PatienceMax = TimeSpan.FromSeconds(20);

    private readonly Random _random = new(seed);
    private Child? _server;

    /// <summary>Prints one line of <c>name=value</c>: what was done, and what must not be.</summary>
    public static async Task<int> RunAsync(string engine, int kills, int seed)
    {
        var folder = Directory.CreateTempSubdirectory("mortise-returning-");
        var before = OpenSockets();
        try
        {
            // Nobody else connects from or listens on this address.
            using var run = new KilledServer(engine, seed, $"tcp://127.77.0.2:{20000 + Environment.ProcessId % 10000}",
                Path.Combine(folder.FullName, "ledger"));
            var unseen = 0;
            TaskScheduler.UnobservedTaskException += (_, e) =>
            {
                Interlocked.Increment(ref unseen);
                Console.Error.WriteLine(e.Exception);
            };
            var timers = Timer.ActiveCount;
            var counts = await run.RunAsync(kills);
            ControlLine.Collect(); // finalizers tell of tasks whose exceptions nobody looked at
            await UntilAsync(() =>
            {
                counts["sockets"] = Math.Max(0, OpenSockets() - before);
                counts["timers"] = Math.Max(0, Timer.ActiveCount - timers);
                counts["buffers"] = ControlLine.Stats().Split(' ').Select(pair => pair.Split('='))
                    .Where(pair => pair[0] == "buffers_outstanding").Sum(pair => long.Parse(pair[1]));
                return counts["sockets"] + counts["timers"] + counts["buffers"] == 0;
            }, null);
            counts["exceptions_nobody_saw"] = unseen;
            Console.WriteLine(string.Join(' ', counts.Select(c => $"{c.Key}={c.Value}")));
            return 0;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    public void Dispose() => _server?.Dispose();

    private async Task<Dictionary<string, long>> RunAsync(int kills)
    {
        var kind = Enum.Parse<EngineKind>(engine.Replace("_", "", StringComparison.Ordinal), ignoreCase: true);
        Customer[] customers =
        [
            new("wait", endpoint, kind, WhileDown.Wait), new("fail", endpoint, kind, WhileDown.Fail),
            new("buffer", endpoint, kind, WhileDown.Buffer(BufferBytes)),
        ];
        for (var kill = 0; kill < kills; kill++)
        {
            await StartAsync(customers, kill + 1);
            await Task.Delay(_random.Next(100));
            _server!.Dispose(); // SIGKILL
            await Task.Delay(_random.Next(50));
        }

        await StartAsync(customers, kills + 1);
        var since = customers.SelectMany(c => c.Known).ToDictionary(k => k.Key, k => k.Value.Length + 1);
        await Task.Delay(200);
        foreach (var customer in customers)
            await customer.DisposeAsync();

        var ledger = new Ledger(path);
        var known = customers.SelectMany(c => c.Known).ToDictionary();
        // The server may still be reading what the kernel had taken when the clients left.
        await UntilAsync(() => ledger.Judge(known, since)["lost_without_a_kill"] == 0, null);
        var counts = ledger.Judge(known, since);
        counts["killed"] = kills;
        counts["numbers"] = known.Values.Sum(k => (long)k.Length);
        counts["answered"] = known.Values.Sum(k => (long)k.Count(n => n == Known.Answered));
        counts["refused"] = customers.Sum(c => c.Refused);
        counts["told_as_lost"] = customers.Sum(c => c.Lost);
        counts["wrong_replies"] = customers.Sum(c => c.Wrong);
        counts["not_there_again"] = customers.Sum(c => Math.Max(0, kills + 1 - c.Connected));
        counts["connected_without_login"] = customers.Sum(c => Math.Max(0, c.Connected - c.LoggedIn));
        return counts;
    }

    /// <summary>Returns when all clients are there, for the time that is meant.</summary>
    private async Task StartAsync(Customer[] customers, int time)
    {
        _server = Child.Start(null, engine, Environment.ProcessPath!, "ledger", endpoint.ToString(), path);
        await _server.ReadAsync("whether it listens");
        await UntilAsync(() => customers.All(c => c.Connected >= time && c.IsConnected),
            $"a client did not come back after kill {time - 1} of {engine}");
    }

    private static async Task UntilAsync(Func<bool> condition, string? failure)
    {
        var since = Stopwatch.StartNew();
        while (!condition())
        {
            if (since.Elapsed > PatienceMax)
            {
                if (failure is not null)
                    throw new BenchException(failure);
                return;
            }

            await Task.Delay(2);
        }
    }

    private static int OpenSockets() => ServerProcess.Links(Environment.ProcessId)
        .Count(link => link.StartsWith("socket:", StringComparison.Ordinal));
}
