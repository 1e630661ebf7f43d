using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Churning;

/// <summary>One engine after all its connections have come and gone.</summary>
/// <param name="Engine">Asked for, and seen to carry the server.</param>
/// <param name="Seconds">For all connections.</param>
/// <param name="Load">What native/churn.c counted: its own JSON.</param>
/// <param name="Before">The server's counts after a hundred connections, by name.</param>
/// <param name="After">The same after all.</param>
internal sealed record Churned(string Engine, double Seconds, Dictionary<string, JsonElement> Load,
    Dictionary<string, double> Before, Dictionary<string, double> After)
{
    /// <summary>Names of what must be as it was: nothing may be left of a connection that is gone.</summary>
    public static readonly string[] Alive =
        ["descriptors", "handlers", "connections_current", "buffers_outstanding", "bytes_held", "send_queue_bytes"];

    public long OfLoad(string name) => Load[name].GetInt64();

    public double Left(string name) => After.GetValueOrDefault(name) - Before.GetValueOrDefault(name);

    /// <summary>Whether every connection ended as it should, no byte was wrong and nothing is left.</summary>
    public bool IsClean => OfLoad("wrongBytes") + OfLoad("cutShort") + OfLoad("failed") == 0
        && "CHRSTA".Sum(way => OfLoad($"{way}")) == OfLoad("connections")
        && Alive.All(name => After.ContainsKey(name) && Left(name) <= 0);
}

internal sealed record ChurnData(Machine Machine, int Seed, int Concurrent, List<Churned> Engines,
    List<string> Failures);

/// <summary><c>bench churn</c>: connections that come and go in every way, and what is left of them.</summary>
internal static class ChurnBench
{
    private const int Concurrent = 64, WarmConnections = 200;

    private static readonly TimeSpan SettleTimeout = TimeSpan.FromSeconds(15);

    public static async Task<int> RunAsync(BenchOptions options)
    {
        var connections = options.Connections ?? (options.Quick ? 1_000 : 50_000);
        var programs = NativePrograms.Build(["churn"]);
        var data = new ChurnData(Machine.Read(programs), options.Seed, Concurrent, [], []);
        var missing = 0;
        foreach (var server in options.Servers
            ?? new[] { "mortise-uring", "mortise-epoll", "mortise-managed" }.Select(Contestant.Named))
        {
            if (await ServerProcess.WhyNotAsync(server, programs) is { } reason)
            {
                data.Failures.Add($"{server.Name}: {reason}");
                missing++;
                continue;
            }

            try
            {
                data.Engines.Add(await RunAsync(server.Engine!, connections, options.Seed, programs));
                Console.Error.WriteLine($"{server.Name}: {(data.Engines[^1].IsClean ? "clean" : "NOT clean")}");
            }
            catch (BenchException e)
            {
                data.Failures.Add($"{server.Name}: {e.Message}");
            }
        }

        var page = ChurnPage.Write(data);
        Console.WriteLine(page);
        ResultFiles.Write(options.Folder, "churn", data.Machine, page, data, ChurnJson.Default.ChurnData);
        return data.Failures.Count > missing || data.Engines.Exists(e => !e.IsClean) ? 1 : 0;
    }

    private static async Task<Churned> RunAsync(string engine, int connections, int seed, NativePrograms programs)
    {
        var port = ServerProcess.FreshPort();
        using var server = await ServerProcess.StartHostAsync("mortise-churn", engine, null, port, false, "--control");
        await ChurnAsync(programs, port, WarmConnections, seed + 1);
        var before = await SettledAsync(server);
        var watch = System.Diagnostics.Stopwatch.StartNew();
        var load = await ChurnAsync(programs, port, connections, seed);
        var seconds = watch.Elapsed.TotalSeconds;
        return new Churned(engine, seconds, load, before, await SettledAsync(server));
    }

    /// <param name="programs">The compiled C programs.</param>
    /// <param name="port">Of the server.</param>
    /// <param name="connections">How many, 64 at a time.</param>
    /// <param name="seed">Of their bytes and ends.</param>
    /// <param name="isPlain">For any echo server: no header, small bodies, half finish and half reset.</param>
    /// <exception cref="BenchException">The load failed.</exception>
    public static async Task<Dictionary<string, JsonElement>> ChurnAsync(NativePrograms programs, int port,
        int connections, int seed, bool isPlain = false)
    {
        int[] numbers = [port, connections, Concurrent, seed];
        using var churn = Child.Start(null, null, programs.PathOf("churn"),
            [.. numbers.Select(n => n.ToString(CultureInfo.InvariantCulture)), .. isPlain ? new[] { "plain" } : []]);
        var line = await churn.ReadAsync($"{connections} connections");
        if (churn.Errors.Length > 0)
            Console.Error.WriteLine(churn.Errors);
        return JsonSerializer.Deserialize(line, ChurnJson.Default.DictionaryStringJsonElement)!;
    }

    /// <summary>The server's counts once no connection is left, or as they are after a while.</summary>
    public static async Task<Dictionary<string, double>> SettledAsync(ServerProcess server)
    {
        for (var since = System.Diagnostics.Stopwatch.StartNew(); ; await Task.Delay(100))
        {
            var counts = Counts(await server.AskAsync("stats"));
            if (counts.GetValueOrDefault("connections_current") + counts["handlers"] == 0
                || since.Elapsed > SettleTimeout)
                return counts;
        }
    }

    /// <summary>What <see cref="ControlLine.Stats"/> has written.</summary>
    public static Dictionary<string, double> Counts(string stats) => stats.Split(' ').Select(pair => pair.Split('='))
        .ToDictionary(pair => pair[0], pair => double.Parse(pair[1], CultureInfo.InvariantCulture));
}

[JsonSourceGenerationOptions(WriteIndented = true, PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(ChurnData))]
[JsonSerializable(typeof(Dictionary<string, JsonElement>))]
internal sealed partial class ChurnJson : JsonSerializerContext;
