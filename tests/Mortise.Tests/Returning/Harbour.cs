using System.Threading.Channels;
using Mortise.Tests.Conformance;
using Mortise.Tests.Sessions;

namespace Mortise.Tests.Returning;

/// <summary>One place where a server of lines comes and goes, and what its clients are told meanwhile.</summary>
internal sealed class Harbour(string way) : IAsyncDisposable
{
    private readonly MemoryNetwork _network = new();
    private readonly Channel<ClientStateChange> _changes = Channel.CreateUnbounded<ClientStateChange>();
    private readonly Channel<string> _received = Channel.CreateUnbounded<string>();
    private SocketServer? _server;

    /// <summary>Every way to carry bytes.</summary>
    public static string[] Ways { get; } =
        [Rig.Memory, nameof(EngineKind.Managed), nameof(EngineKind.Epoll), nameof(EngineKind.IoUring)];

    public Endpoint Endpoint { get; } = way == Rig.Memory ? Endpoint.Parse("mem:harbour") : Loopback.FreeEndpoint();

    /// <summary>The server accepts and never reads.</summary>
    public bool Mute { get; set; }

    public int Accepted { get; private set; }

    public void Start(Func<Session<string>, string, ValueTask>? handler = null,
        Action<ServerOptions>? configure = null) =>
        _server = SocketServer.Start(Endpoint, c =>
        {
            Accepted++;
            return Mute ? Task.Delay(Timeout.Infinite, c.Closed) : c.HandleAsync(Codec.Lines(), (session, line) =>
            {
                _received.Writer.TryWrite(line);
                return handler?.Invoke(session, line) ?? session.SendAsync($"re: {line}");
            });
        }, o =>
        {
            Tune(o.Transport);
            configure?.Invoke(o);
        });

    /// <summary>All connections end at once, and nobody listens any more.</summary>
    public async Task StopAsync()
    {
        if (_server is { } server)
            await server.DisposeAsync();
        _server = null;
    }

    /// <summary>All connections end, and the server stays.</summary>
    public void Cut()
    {
        foreach (var connection in _server!.Connections)
            connection.Abort();
    }

    /// <summary>The connections end in order, and nobody listens any more.</summary>
    public async Task DrainAsync()
    {
        await _server!.StopAsync();
        await StopAsync();
    }

    public SocketClient<string> Client(Action<SocketClientOptions<string>>? configure = null) =>
        SocketClient.Create(Endpoint, Codec.Lines(), o =>
        {
            Tune(o.Transport);
            o.Reconnect = Backoff.Constant(TimeSpan.FromMilliseconds(5));
            o.OnStateChanged = (_, change) => _changes.Writer.TryWrite(change);
            configure?.Invoke(o);
        });

    public SocketClientPool<string> Pool(Action<SocketClientPoolOptions<string>>? configure = null) =>
        SocketClient.CreatePool(Endpoint, Codec.Lines(), o =>
        {
            Tune(o.Transport);
            o.Session = new() { Correlation = Correlate.InOrder<string>() };
            configure?.Invoke(o);
        });

    /// <summary>The next change to this state, past ones included once.</summary>
    public async Task<ClientStateChange> UntilAsync(ClientState state)
    {
        while (true)
        {
            if (await _changes.Reader.ReadAsync(Limits.Soon) is var change && change.State == state)
                return change;
        }
    }

    /// <summary>The next change.</summary>
    public async Task<ClientStateChange> NextAsync() => await _changes.Reader.ReadAsync(Limits.Soon);

    /// <summary>The next line that the server read, over all its lives.</summary>
    public async Task<string> LineAsync() => await _received.Reader.ReadAsync(Limits.Soon);

    /// <summary>What the server has read and nobody has looked at.</summary>
    public IReadOnlyList<string> Lines()
    {
        var lines = new List<string>();
        while (_received.Reader.TryRead(out var line))
            lines.Add(line);
        return lines;
    }

    public async ValueTask DisposeAsync() => await StopAsync();

    private void Tune(TransportOptions transport)
    {
        transport.Memory = _network;
        transport.Engine = Sessions.Ways.EngineOf(way);
    }
}
