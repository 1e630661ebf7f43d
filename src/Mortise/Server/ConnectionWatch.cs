using System.Runtime.CompilerServices;

namespace Mortise.Server;

/// <summary>
/// All timeouts of a server with one timer, and the register of its connections. Connections count their bytes and note
/// the tick; they stand on the wheel of the event loop they live on, which looks at each when a deadline may have come.
/// So a timeout is late by at most one tick, an idle connection is looked at every few seconds, and no operation has a
/// timer.
/// </summary>
internal sealed class ConnectionWatch : IDisposable
{
    private readonly ConnectionServer? _server;
    private readonly Patience _patience;
    private readonly ITimer _timer;
    private readonly Lock _gate = new();
    private volatile WatchWheel[] _wheels;
    private int _ticking;

    public ConnectionWatch(ServerOptions options, ConnectionServer? server = null)
    {
        _server = server;
        _patience = new Patience(options);
        _wheels = [new(_patience, server, home: null)];
        _timer = options.Time.CreateTimer(static s => ((ConnectionWatch)s!).Tick(), this, _patience.Tick,
            _patience.Tick);
    }

    /// <summary>A snapshot.</summary>
    public List<Connection> Live
    {
        get
        {
            var live = new List<Connection>(_wheels.Sum(w => w.Count));
            foreach (var wheel in _wheels)
                wheel.Visit(live, static (all, entry) => all.Add(((WatchedConnection)entry).Connection));
            return live;
        }
    }

    public void Add(Connection connection)
    {
        var wheel = WheelOf(connection);
        connection.NoteTicks(wheel.Ticks);
        var watched = new WatchedConnection(connection, wheel);
        connection.Record = watched;
        wheel.Add(watched, Patience.Due(connection.ReceivedTick, _patience.Shortest));
    }

    /// <summary>Safe to call twice.</summary>
    public static void Remove(Connection connection) => ((WatchedConnection)connection.Record!).Leave();

    public long Sum(Func<Connection, long> quantity)
    {
        var sum = new StrongBox<long>();
        foreach (var wheel in _wheels)
            wheel.Visit((sum, quantity), static (s, entry) =>
                s.sum.Value += s.quantity(((WatchedConnection)entry).Connection));
        return sum.Value;
    }

    public void Dispose() => _timer.Dispose();

    private void Tick()
    {
        if (Interlocked.Exchange(ref _ticking, 1) == 1)
            return;
        try
        {
            foreach (var wheel in _wheels)
                wheel.Tick();
        }
        finally
        {
            Volatile.Write(ref _ticking, 0);
        }
    }

    private WatchWheel WheelOf(Connection connection)
    {
        foreach (var wheel in _wheels)
            if (wheel.Home == connection.Home)
                return wheel;
        lock (_gate)
        {
            if (_wheels.FirstOrDefault(w => w.Home == connection.Home) is { } other)
                return other;
            // The connection that comes first opens the way to its home for good; what that keeps is one per loop.
            var wheel = new WatchWheel(_patience, _server, connection.Home, connection.Post);
            _wheels = [.. _wheels, wheel];
            return wheel;
        }
    }
}
