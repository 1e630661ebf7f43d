using System.Globalization;
using Mortise.Testing;
using Mortise.Transports.Pipes;

namespace Mortise.Tests.Sessions;

/// <summary>
/// Sessions on a bad network, on one thread, under one clock, decided by one seed: whatever goes wrong can be run
/// again. Everything that would go to the thread pool waits in a queue; the seed says when and what happens.
/// </summary>
internal sealed class Simulation
{
    private const int Links = 3;

    private readonly int _seed;
    private readonly Random _random;
    private readonly Queue<Action> _ready = new();
    private readonly ManualTime _time = new();
    private readonly NetworkFaults _faults;
    private readonly List<SimulatedLink> _links = [];
    private readonly int _thread = Environment.CurrentManagedThreadId;
    private readonly long _buffersBefore = BlockPool.Shared.Outstanding;
    private ulong _hash = 14695981039346656037;

    public Simulation(int seed)
    {
        _seed = seed;
        _random = new Random(seed);
        var network = new MemoryNetwork(_ready.Enqueue);
        var endpoint = Endpoint.Parse("mem:simulation");
        _faults = network.Faults(endpoint).FragmentAtRandom(seed);
        var options = new TransportOptions { Time = _time, Memory = network };
        using var listener = SocketServer.Listen(endpoint, options);
        for (var i = 0; i < Links; i++)
        {
            var connecting = Engine.For(endpoint, options).ConnectAsync(endpoint, options, default);
            Demand(connecting.IsCompletedSuccessfully, "connecting in memory waits for nothing");
            Demand(listener.TryAccept(out var server), "the listener lost a connection");
            _links.Add(new SimulatedLink(this, i, connecting.Result, server!));
        }
    }

    public int Operations { get; private set; }

    public ulong TraceHash => _hash;

    /// <summary>A die of the seed.</summary>
    public int Roll(int sides) => _random.Next(sides);

    public void Run(int operations)
    {
        for (; Operations < operations; Operations++)
        {
            Step(Roll(4));
            Operate(_links[Roll(Links)]);
        }

        _faults.Heal();
        foreach (var link in _links)
            link.Finish();
        Settle();
        foreach (var link in _links)
            link.Verify();
        foreach (var link in _links)
            link.Abandon();
        Settle();
        foreach (var link in _links)
            link.VerifyEnd();
        var held = BlockPool.Shared.Outstanding - _buffersBefore;
        Demand(held == 0, $"{held} buffers were not returned");
    }

    /// <summary>Part of the trace: two runs of one seed must say the same in the same order.</summary>
    public void Trace(string what, long number)
    {
        Demand(Environment.CurrentManagedThreadId == _thread, $"{what} ran on another thread");
        foreach (var c in what)
            _hash = (_hash ^ c) * 1099511628211;
        _hash = (_hash ^ (ulong)number) * 1099511628211;
    }

    public void Demand(bool condition, string failure)
    {
        if (!condition)
            throw new InvalidOperationException(string.Create(CultureInfo.InvariantCulture,
                $"seed {_seed}, operation {Operations}, {_time.Elapsed}: {failure}"));
    }

    private void Operate(SimulatedLink link)
    {
        switch (Roll(100))
        {
            case < 50: link.Send(); break;
            case < 62: _time.Advance(TimeSpan.FromMilliseconds(Roll(40))); break;
            case < 70: link.CancelRead(); break;
            case < 78: link.LetHandlerGo(); break;
            case < 82: _faults.FragmentTo(1 + Roll(2000)); break;
            case < 86: _faults.Latency(TimeSpan.FromMilliseconds(Roll(30))); break;
            case < 89: _faults.StallReads(); break;
            case < 95: _faults.Heal(); break;
            case < 96: link.HalfClose(); break;
            case < 97: link.EndInput(); break;
            case < 98: link.Reset(Roll(2) == 0); break;
            case < 99: link.Dispose(); break;
            default: _time.Advance(TimeSpan.FromSeconds(Roll(3))); break;
        }
    }

    private void Step(int steps)
    {
        for (; steps > 0 && _ready.TryDequeue(out var work); steps--)
            work();
    }

    /// <summary>Until nothing is left to do; a live-lock would never get there.</summary>
    private void Settle()
    {
        for (var round = 0; round < 400; round++)
        {
            for (var steps = 0; _ready.TryDequeue(out var work); steps++)
            {
                Demand(steps < 1_000_000, "the network never comes to rest");
                work();
            }

            _time.Advance(TimeSpan.FromMilliseconds(50));
        }
    }
}
