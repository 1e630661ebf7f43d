using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers;

/// <summary>One contestant in a process of its own, on one CPU and a fresh port, killed at the end.</summary>
internal sealed class ServerProcess : IDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);

    private readonly Process _process;

    private ServerProcess(Process process, int port)
    {
        _process = process;
        Port = port;
    }

    public int Port { get; }

    public int Id => _process.Id;

    /// <exception cref="InvalidOperationException">It did not listen in time, or another listens there too.</exception>
    public static async Task<ServerProcess> StartAsync(string kind, int cpu)
    {
        var port = FreshPort();
        var server = new ServerProcess(Start(cpu, Environment.ProcessPath!, "server", kind, $"{port}"), port);
        try
        {
            for (var since = Stopwatch.StartNew(); CountListeners(port) == 0; await Task.Delay(20))
            {
                if (server._process.HasExited || since.Elapsed > StartTimeout)
                    throw new InvalidOperationException($"server '{kind}' does not listen on port {port}");
            }

            // Two listeners (a forgotten SO_REUSEPORT one) would share the connections and halve what is measured.
            if (CountListeners(port) != 1)
                throw new InvalidOperationException($"{CountListeners(port)} listeners on port {port}, expected one");
            return server;
        }
        catch
        {
            server.Dispose();
            throw;
        }
    }

    /// <summary>Starts a program on one CPU from the outset, so that the runtime counts one processor.</summary>
    public static Process Start(int cpu, string program, params string[] arguments)
    {
        var info = new ProcessStartInfo("taskset", ["-c", $"{cpu}", program, .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        // What a shell happens to export (DOTNET_TieredPGO, …INLINE_COMPLETIONS) must not choose the winner.
        foreach (var name in info.Environment.Keys.Where(IsRuntimeKnob).ToList())
            info.Environment.Remove(name);
        // With one processor the runtime waits ten times as long before it optimises, and then compiles inside the
        // measured window. This changes when that happens, not what comes out.
        info.Environment["DOTNET_TC_DelaySingleProcMultiplier"] = "1";
        return Process.Start(info)!;
    }

    public void Dispose()
    {
        _process.Kill();   // SIGKILL by id: taskset has become the server (execve), there is no child to miss
        _process.WaitForExit();
        _process.Dispose();
    }

    private static bool IsRuntimeKnob(string name) => name.StartsWith("DOTNET_", StringComparison.Ordinal)
        && name is not ("DOTNET_ROOT" or "DOTNET_NOLOGO" or "DOTNET_CLI_TELEMETRY_OPTOUT");

    private static int FreshPort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    /// <summary>What <c>ss -ltn</c> shows: sockets in state LISTEN (0A), see proc_net_tcp(5).</summary>
    private static int CountListeners(int port)
    {
        var local = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        return new[] { "/proc/net/tcp", "/proc/net/tcp6" }.Where(File.Exists).SelectMany(File.ReadLines)
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(fields => fields is [_, var address, _, "0A", ..]
                && address.EndsWith(local, StringComparison.Ordinal));
    }
}
