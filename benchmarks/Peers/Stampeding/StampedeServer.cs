using System.Collections.Concurrent;

namespace Mortise.Peers.Stampeding;

/// <summary>A server of lines that throws, waits and aborts when it is told to, and can be started again.</summary>
internal sealed class StampedeServer : IAsyncDisposable
{
    public const string Address = "127.77.0.1";

    private readonly ConcurrentDictionary<long, Session<string>> _sessions = new();
    private readonly EngineKind _engine;
    private readonly Random _random;
    private ServerOptions _limits = null!;
    private int _throwNext, _thrown;

    public StampedeServer(EngineKind engine, int seed, IEnumerable<Endpoint> places)
    {
        _engine = engine;
        _random = new Random(seed);
        Now = Start(places);
        Places = [.. Now.Endpoints];
    }

    /// <summary>The one that listens, or has just stopped.</summary>
    public SocketServer Now { get; private set; }

    public Endpoint[] Places { get; }

    /// <summary>Handlers that threw what was planted.</summary>
    public int Thrown => Volatile.Read(ref _thrown);

    /// <summary>The handler of the next message throws.</summary>
    public void ThrowNext() => Volatile.Write(ref _throwNext, 1);

    /// <summary>Those that may be set while it runs; the others change with every start.</summary>
    public void ChangeLimits()
    {
        _limits.CloseLinger = TimeSpan.FromMilliseconds(_random.Next(50));
        _limits.WriteStallTimeout = TimeSpan.FromMilliseconds(_random.Next(50, 1000));
        foreach (var session in _sessions.Values)
            session.QueueBytesMax = _random.Next(1, 100_000);
    }

    public async Task RestartAsync()
    {
        await Now.DisposeAsync();
        Now = Start(Places);
    }

    public ValueTask DisposeAsync() => Now.DisposeAsync();

    private SocketServer Start(IEnumerable<Endpoint> places) =>
        SocketServer.Start(places, c => c.HandleAsync(Codec.Lines(), HandleAsync), o =>
        {
            o.Transport.Engine = _engine;
            o.CloseLinger = TimeSpan.FromMilliseconds(20);
            o.MaxConnections = _random.Next(4, 13);
            o.IdleTimeout = TimeSpan.FromMilliseconds(_random.Next(100, 2000));
            o.FrameTimeout = TimeSpan.FromMilliseconds(_random.Next(100, 2000));
            o.OnClosed = c => _sessions.TryRemove(c.Id, out _);
            _limits = o;
        });

    private async ValueTask HandleAsync(Session<string> session, string line)
    {
        _sessions[session.Id] = session;
        if (line == "throw" || Interlocked.Exchange(ref _throwNext, 0) == 1)
        {
            Interlocked.Increment(ref _thrown);
            throw new InvalidOperationException("planted");
        }

        if (line == "wait")
            await Task.Delay(5, session.Closed);
        if (line == "try")
            session.TrySend(new string('t', 1000)); // may be more than the queue's limit of this moment
        await session.SendAsync(line);
        if (line == "abort")
            session.Abort();
    }
}
