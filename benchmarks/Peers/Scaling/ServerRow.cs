using System.Diagnostics;
using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

/// <summary>Several server processes on one port, among which the kernel spreads the clients (SO_REUSEPORT).</summary>
internal sealed class ServerRow : IDisposable
{
    private readonly List<ServerProcess> _servers = [];
    private readonly int _port = ServerProcess.FreshPort();

    public double RssKiB => _servers.Sum(s => ProcessState.RssKiB(s.Id));

    /// <summary>Of each process.</summary>
    public int[] Descriptors => [.. _servers.Select(s => ProcessState.Descriptors(s.Id))];

    /// <exception cref="BenchException">One did not listen in time.</exception>
    public static async Task<ServerRow> StartAsync(string kind, string? engine, int processes, int connectionsMax)
    {
        var row = new ServerRow();
        try
        {
            for (var i = 0; i < processes; i++)
                row._servers.Add(await ServerProcess.StartHostAsync(kind, engine, null, row._port, isShared: true,
                    $"{connectionsMax}", "--reuse-port"));
            return row;
        }
        catch
        {
            row.Dispose();
            throw;
        }
    }

    /// <summary>Returns when all are accepted, or after two minutes: the echo says how many are not.</summary>
    public async Task<Holders> HoldAsync(int connections, NativePrograms programs)
    {
        var (withNone, watch) = (Descriptors.Sum(), Stopwatch.StartNew());
        var holders = await Holders.ConnectAsync(programs, _port, connections);
        while (Descriptors.Sum() < withNone + connections && watch.Elapsed < TimeSpan.FromMinutes(2))
            await Task.Delay(100);
        return holders;
    }

    public void Dispose()
    {
        foreach (var server in _servers)
            server.Dispose();
    }
}
