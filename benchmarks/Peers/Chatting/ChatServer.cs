using System.Globalization;
using Mortise.Peers.Running;

namespace Mortise.Peers.Chatting;

/// <summary><c>mortise serve chat</c> as it is shipped, in a process of its own.</summary>
internal sealed class ChatServer : IDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(30);

    /// <summary>…/benchmarks/Peers/bin/CONFIGURATION/net10.0: the command lies in the same place of its own project.
    /// </summary>
    private static readonly string Command = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../../../..",
        "src/Mortise.Cli", Path.GetRelativePath(Path.Combine(AppContext.BaseDirectory, "../../.."),
            AppContext.BaseDirectory), "Mortise.Cli.dll"));

    private readonly Child _child;

    private ChatServer(Child child, Endpoint lines, Endpoint json, int metricsPort)
    {
        _child = child;
        (Lines, Json) = (lines.Port, json.Port);
        MetricsPort = metricsPort;
    }

    public int Lines { get; }

    public int Json { get; }

    public int MetricsPort { get; }

    public int Id => _child.Id;

    /// <summary>What its log said first.</summary>
    public string Log => _child.Errors;

    /// <exception cref="BenchException">It did not listen in time.</exception>
    public static async Task<ChatServer> StartAsync(string engine, params string[] flags)
    {
        var folder = Directory.CreateTempSubdirectory("mortise-chat-");
        try
        {
            var ready = Path.Combine(folder.FullName, "ready");
            var metrics = ServerProcess.FreshPort();
            var child = Child.Start(null, engine, "dotnet", [Command, "serve", "chat", ":0", "--json-at", ":0",
                "--quiet", "--ready-file", ready, "--flood", "1000000", "--metrics", $":{metrics}", .. flags]);
            using var limit = new CancellationTokenSource(StartTimeout);
            while (!File.Exists(ready))
            {
                if (child.HasExited || limit.IsCancellationRequested)
                {
                    var said = child.Errors;
                    child.Dispose();
                    throw new BenchException($"the chat does not listen: {said}");
                }

                await Task.Delay(20);
            }

            var lines = await File.ReadAllLinesAsync(ready, limit.Token);
            return new(child, Endpoint.Parse(lines[0]), Endpoint.Parse(lines[1]), metrics);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>One value of the server's own counts.</summary>
    public async Task<double> MetricAsync(string name)
    {
        using var http = new HttpClient();
        var page = await http.GetStringAsync($"http://127.0.0.1:{MetricsPort}/metrics");
        return double.Parse(page.Split('\n').First(l => l.StartsWith(name + " ", StringComparison.Ordinal))
            .Split(' ')[1], CultureInfo.InvariantCulture);
    }

    public void Dispose() => _child.Dispose();
}
