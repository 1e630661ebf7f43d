using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Memory;

/// <summary>Connections inside one process, for tests and samples: <c>mem:name</c>.</summary>
internal sealed class MemoryTransport : Transport
{
    public override string Name => "memory";

    public override bool Carries(EndpointKind kind) => kind == EndpointKind.Memory;

    public override Listener Listen(Endpoint endpoint, TransportOptions options)
    {
        var listeners = options.Memory.Listeners;
        var listener = new MemoryListener(endpoint, options.Backlog, l => listeners.TryRemove(new(endpoint.Host, l)))
            { Engine = About };
        return listeners.TryAdd(endpoint.Host, listener)
            ? listener
            : throw new BindException(endpoint.ToString(), "EADDRINUSE", "another listener has this name",
                "choose another name", 98);
    }

    public override ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var network = options.Memory;
        if (!network.Listeners.TryGetValue(endpoint.Host, out var found) || found is not MemoryListener listener)
            throw new ConnectException(endpoint.ToString(), "ECONNREFUSED", "nothing listens under this name",
                "start the server first", 111);

        var faults = network.Faults(endpoint);
        var there = new MemoryLane(faults, options.Time, network.Post);
        var back = new MemoryLane(faults, options.Time, network.Post);
        var server = new WireConnection(new MemoryWire(there, back, network.Post), endpoint, endpoint, options.Time);
        var client = new WireConnection(new MemoryWire(back, there, network.Post), endpoint, endpoint, options.Time);
        if (!listener.TryOffer(server))
        {
            server.Abort();
            client.Abort();
            throw new ConnectException(endpoint.ToString(), "ETIMEDOUT", "the accept queue is full",
                "accept faster or listen with a larger backlog", 110);
        }

        return new(client);
    }

    private sealed class MemoryListener(Endpoint endpoint, int backlog, Action<MemoryListener> closed) : Listener
    {
        private readonly Channel<Connection> _queue = Channel.CreateBounded<Connection>(Math.Max(1, backlog));

        public override Endpoint Endpoint => endpoint;

        public override int Backlog => backlog;

        public override int AcceptQueueLength => _queue.Reader.Count;

        public bool TryOffer(Connection connection) => _queue.Writer.TryWrite(connection);

        public override async ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default)
        {
            try
            {
                return await _queue.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (ChannelClosedException e)
            {
                throw new OperationCanceledException($"The listener on {endpoint} was closed.", e);
            }
        }

        public override bool TryAccept([NotNullWhen(true)] out Connection? connection) =>
            _queue.Reader.TryRead(out connection);

        public override void Dispose()
        {
            closed(this);
            _queue.Writer.TryComplete();
            while (_queue.Reader.TryRead(out var unaccepted))
                unaccepted.Abort();
        }
    }
}
