using Microsoft.Extensions.Logging;
using Mortise.Telemetry;
using Mortise.Transports;

namespace Mortise;

/// <summary>
/// A bound, listening address. It hands out connections and knows nothing of what is done with them; a
/// <see cref="SocketServer"/> adds admission, limits, timeouts and drain.
/// </summary>
public abstract class Listener : IDisposable
{
    private protected Listener()
    {
    }

    /// <summary>The address really bound, with the port that the kernel picked where 0 was asked.</summary>
    public abstract Endpoint Endpoint { get; }

    /// <summary>
    /// The accept queue's length in force: the backlog asked for, or less where the kernel's limit
    /// (<c>net.core.somaxconn</c>) clamped it; see <c>listen(2)</c>.
    /// </summary>
    public abstract int Backlog { get; }

    /// <summary>Datagrams that the kernel threw away because they came faster than they were received.</summary>
    internal virtual long KernelDrops => 0;

    /// <summary>Connections the kernel has completed that wait to be accepted, or -1 where it does not tell.</summary>
    public virtual int AcceptQueueLength => -1;

    /// <summary>
    /// The engine that carries its connections and why that one: <c>io_uring (kernel 6.18)</c>, <c>epoll:
    /// io_uring_setup: EPERM (…)</c>, <c>managed: not Linux</c>.
    /// </summary>
    public string Engine { get; internal init; } = "";

    /// <summary>What the newcomer should know about this listener, e.g. that a stale socket file was removed.</summary>
    public IReadOnlyList<string> Notes { get; private protected init; } = [];

    /// <summary>Waits for the next connection.</summary>
    /// <exception cref="MortiseException">This one accept failed; the listener goes on unless it was
    /// disposed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled; no connection is lost.</exception>
    public abstract ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default);

    /// <summary>Takes a waiting connection, or returns false at once (EAGAIN).</summary>
    public abstract bool TryAccept([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Connection? connection);

    /// <summary>Blocks the calling thread until a connection arrives.</summary>
    public Connection Accept() => AcceptAsync().AsTask().GetAwaiter().GetResult();

    /// <summary>Closes the listening socket; connections that were accepted live on.</summary>
    public abstract void Dispose();

    /// <summary>A server serves its connections: what is dropped before there is one is counted and told there.
    /// </summary>
    internal virtual void Attach(ServerCounters counters, ILogger log)
    {
    }

    /// <summary>
    /// The server is at its limit, and somebody waits: whoever can fill it with forged connections ends one of them.
    /// </summary>
    internal virtual void MakeRoom()
    {
    }

    /// <summary>Runs a loop of accepts where that costs least; by default on the thread pool.</summary>
    internal virtual Task RunAsync(Func<Task> acceptAsync) => Task.Run(acceptAsync);

    /// <summary>As <see cref="AcceptAsync"/>, for those who may yet refuse.</summary>
    internal virtual async ValueTask<Newcomer> MeetAsync(CancellationToken cancellationToken) =>
        new ConnectedNewcomer(await AcceptAsync(cancellationToken).ConfigureAwait(false));

    /// <summary>As <see cref="TryAccept"/>, for those who may yet refuse.</summary>
    internal virtual bool TryMeet([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Newcomer? newcomer)
    {
        newcomer = TryAccept(out var connection) ? new ConnectedNewcomer(connection) : null;
        return newcomer is not null;
    }
}
