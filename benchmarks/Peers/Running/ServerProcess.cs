using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Running;

/// <summary>One contestant in a process of its own, on a fresh port, killed at the end.</summary>
internal sealed class ServerProcess : IDisposable
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(20);

    private readonly Child _child;

    private ServerProcess(Child child, int port)
    {
        _child = child;
        Port = port;
    }

    public int Port { get; }

    public int Id => _child.Id;

    /// <param name="contestant">Which one.</param>
    /// <param name="programs">The compiled C programs.</param>
    /// <param name="cpu">Null for all CPUs.</param>
    /// <param name="arguments">For a .NET host: see <see cref="Hosts"/>.</param>
    /// <exception cref="BenchException">It did not listen in time, or another listens there too.</exception>
    public static Task<ServerProcess> StartAsync(Contestant contestant, NativePrograms programs, int? cpu,
        params string[] arguments)
    {
        var port = FreshPort();
        var child = contestant.Family == Family.Native
            ? Child.Start(cpu, null, programs.PathOf(contestant.Name), $"{port}")
            : StartHost(contestant.Name, contestant.Engine, port, cpu, arguments);
        return ListeningAsync(child, contestant.Name, port, listeners: 1);
    }

    /// <summary>A .NET host that is no contestant (<c>-bare</c>, <c>-churn</c>), or one of several on a port.</summary>
    /// <exception cref="BenchException">It did not listen in time, or others listen there that should not.</exception>
    public static Task<ServerProcess> StartHostAsync(string kind, string? engine, int? cpu, int port, int listeners,
        params string[] arguments) =>
        ListeningAsync(StartHost(kind, engine, port, cpu, arguments), kind, port, listeners);

    /// <summary>Why an engine cannot be had here (an old kernel, a sandbox), or null when it can.</summary>
    public static async Task<string?> WhyNotAsync(Contestant contestant, NativePrograms programs)
    {
        if (contestant.Family != Family.Mortise)
            return null;
        try
        {
            using var server = await StartAsync(contestant, programs, null);
            var seen = server.EngineSeen();
            return seen == contestant.Engine ? null : $"asked for {contestant.Engine}, carried by {seen}";
        }
        catch (BenchException e)
        {
            return e.Message;
        }
    }

    public static int FreshPort()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)probe.LocalEndPoint!).Port;
    }

    public Task<string> AskAsync(string line) => _child.AskAsync(line);

    /// <summary>
    /// The engine that really carries it, as the kernel shows it: a ring among its descriptors, or the runtime's own
    /// socket thread. What was asked for is a wish; a table must not print wishes.
    /// </summary>
    public string EngineSeen()
    {
        var links = Directory.GetFileSystemEntries($"/proc/{Id}/fd")
            .Select(fd => File.ResolveLinkTarget(fd, false)?.Name ?? "");
        if (links.Any(link => link.Contains("[io_uring]", StringComparison.Ordinal)))
            return "io_uring";
        var threads = Directory.GetDirectories($"/proc/{Id}/task").Select(t => File.ReadAllText($"{t}/comm"));
        return threads.Any(name => name.StartsWith(".NET Sock", StringComparison.Ordinal)) ? "managed" : "epoll";
    }

    public void Dispose() => _child.Dispose();

    private static Child StartHost(string kind, string? engine, int port, int? cpu, string[] arguments) =>
        Child.Start(cpu, engine, Environment.ProcessPath!, ["server", kind, $"{port}", .. arguments]);

    private static async Task<ServerProcess> ListeningAsync(Child child, string name, int port, int listeners)
    {
        try
        {
            for (var since = Stopwatch.StartNew(); CountListeners(port) < listeners; await Task.Delay(20))
            {
                if (child.HasExited || since.Elapsed > StartTimeout)
                    throw new BenchException($"{name} does not listen on port {port}: {child.Errors}");
            }

            // Two listeners (a forgotten SO_REUSEPORT one) would share the connections and halve what is measured.
            if (CountListeners(port) != listeners)
                throw new BenchException($"{CountListeners(port)} listeners on port {port}, expected {listeners}");
            return new ServerProcess(child, port);
        }
        catch
        {
            child.Dispose();
            throw;
        }
    }

    /// <summary>What <c>ss -ltn</c> shows: sockets in state LISTEN (0A), see proc_net_tcp(5).</summary>
    private static int CountListeners(int port)
    {
        var local = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        return new[] { "/proc/net/tcp", "/proc/net/tcp6" }.Where(File.Exists)
            .SelectMany(path => File.ReadLines(path).Skip(1).TakeWhile(IsListener))
            .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Count(fields => fields[1].EndsWith(local, StringComparison.Ordinal));

        // The kernel lists listeners first: the rest, with a hundred thousand connections, need not be read.
        static bool IsListener(string line) => line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[3] == "0A";
    }
}
