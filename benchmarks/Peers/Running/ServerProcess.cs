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
        return ListeningAsync(child, contestant.Name, port, isShared: false);
    }

    /// <summary>
    /// A .NET host that is no contestant (<c>-bare</c>, <c>-churn</c>), or one of several that share a port.
    /// </summary>
    /// <exception cref="BenchException">It did not listen in time, or others listen there that should not.</exception>
    public static Task<ServerProcess> StartHostAsync(string kind, string? engine, int? cpu, int port, bool isShared,
        params string[] arguments) =>
        ListeningAsync(StartHost(kind, engine, port, cpu, arguments), kind, port, isShared);

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
    /// The engine that really carries it, as the kernel shows it: a ring among its descriptors, else our loops among
    /// its threads. What was asked for is a wish; a table must not print wishes.
    /// </summary>
    public string EngineSeen()
    {
        if (Links(Id).Any(link => link.Contains("[io_uring]", StringComparison.Ordinal)))
            return "io_uring";
        var hasLoops = ThreadNames().Any(name => name.StartsWith("mortise-loop", StringComparison.Ordinal));
        return hasLoops ? "epoll" : "managed";
    }

    public void Dispose() => _child.Dispose();

    private static Child StartHost(string kind, string? engine, int port, int? cpu, string[] arguments) =>
        Child.Start(cpu, engine, Environment.ProcessPath!, ["server", kind, $"{port}", .. arguments]);

    private List<string> ThreadNames()
    {
        var names = new List<string>();
        foreach (var thread in Directory.GetDirectories($"/proc/{Id}/task"))
        {
            try
            {
                names.Add(File.ReadAllText($"{thread}/comm"));
            }
            catch (IOException)
            {
                // a thread of the pool that has ended in between
            }
        }

        return names;
    }

    private static async Task<ServerProcess> ListeningAsync(Child child, string name, int port, bool isShared)
    {
        try
        {
            for (var since = Stopwatch.StartNew(); !Listeners(port).Any(IsOwn); await Task.Delay(20))
            {
                if (child.HasExited || since.Elapsed > StartTimeout)
                    throw new BenchException($"{name} does not listen on port {port}: {child.Errors}");
            }

            // Two listeners (a forgotten SO_REUSEPORT one) would share the connections and halve what is measured.
            if (!isShared && Listeners(port).Count() is var count and not 1)
                throw new BenchException($"{count} listeners on port {port}, expected one");
            return new ServerProcess(child, port);
        }
        catch
        {
            child.Dispose();
            throw;
        }

        bool IsOwn(string inode) => !child.HasExited && Links(child.Id).Contains($"socket:[{inode}]");
    }

    /// <summary>What the descriptors of a process are, as the kernel names them.</summary>
    public static List<string> Links(int id)
    {
        var links = new List<string>();
        try
        {
            foreach (var descriptor in Directory.GetFileSystemEntries($"/proc/{id}/fd"))
                if (LinkOf(descriptor) is { } link)
                    links.Add(link);
        }
        catch (IOException)
        {
            // the process went away in between: the caller looks again
        }

        return links;

        static string? LinkOf(string descriptor)
        {
            try
            {
                return new FileInfo(descriptor).LinkTarget;
            }
            catch (IOException)
            {
                return null; // closed between the listing and the look
            }
        }
    }

    /// <summary>
    /// Inodes of the sockets in state LISTEN (0A) on a port, see proc_net_tcp(5); <c>ss -ltne</c> shows them too.
    /// </summary>
    private static IEnumerable<string> Listeners(int port)
    {
        var local = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        // The kernel lists listeners first: the rest, with a hundred thousand connections, need not be read.
        return new[] { "/proc/net/tcp", "/proc/net/tcp6" }.Where(File.Exists)
            .SelectMany(path => File.ReadLines(path).Skip(1)
                .Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .TakeWhile(fields => fields[3] == "0A"))
            .Where(fields => fields[1].EndsWith(local, StringComparison.Ordinal))
            .Select(fields => fields[9]);
    }
}
