using System.Collections.Concurrent;

namespace Mortise;

/// <summary>
/// Where <c>mem:</c> endpoints meet. Servers and clients of one process meet on <see cref="Shared"/>; a test that wants
/// a network of its own makes one, and may run all of it on one thread by passing its own scheduler.
/// </summary>
/// <example><code>
/// var network = new MemoryNetwork();
/// await using var server = SocketServer.Start("mem:x", handler, o => o.Transport.Memory = network);
/// network.Faults("mem:x").FragmentTo(1);
/// </code></example>
public sealed class MemoryNetwork
{
    private readonly ConcurrentDictionary<string, NetworkFaults> _faults = new();

    /// <summary>A network whose continuations run on the thread pool.</summary>
    public MemoryNetwork() : this(static work => ThreadPool.UnsafeQueueUserWorkItem(static w => w(), work, true))
    {
    }

    /// <summary>A network whose continuations run where <paramref name="post"/> runs them, in that order.</summary>
    public MemoryNetwork(Action<Action> post) => Post = post;

    /// <summary>The network that <c>mem:</c> endpoints mean unless another one is given.</summary>
    public static MemoryNetwork Shared { get; } = new();

    internal Action<Action> Post { get; }

    /// <summary>Who listens, by name.</summary>
    internal ConcurrentDictionary<string, Listener> Listeners { get; } = new();

    /// <summary>The faults of one endpoint's connections; none until asked for.</summary>
    public NetworkFaults Faults(Endpoint endpoint) => _faults.GetOrAdd(endpoint.Host, static _ => new NetworkFaults());
}
