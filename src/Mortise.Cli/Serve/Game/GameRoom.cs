namespace Mortise.Cli.Serve.Game;

/// <summary>
/// One field and those who play on it, with one timer: 20 times a second the world makes a step and everybody is shown
/// it. A tick that comes late is a step of its own, and those that it missed are left out: the number of the tick goes
/// on as the clock does, the world does not run to catch up.
/// </summary>
internal sealed class GameRoom : IDisposable
{
    public static readonly TimeSpan TickPeriod = TimeSpan.FromMilliseconds(50);

    /// <summary>Who comes back within this time with the token plays on.</summary>
    public static readonly TimeSpan AwayMax = TimeSpan.FromSeconds(30);

    private readonly GameHall _hall;
    private readonly Group<ReadOnlyMemory<byte>> _group;
    private readonly GameWorld _world;
    private readonly Dictionary<Figure, Seat> _seats = [];
    private readonly Lock _gate = new();
    private readonly ITimer _timer;
    private readonly long _began;
    private long _tick;
    private volatile bool _isClosed;

    public GameRoom(GameHall hall, string name, Group<ReadOnlyMemory<byte>> group)
    {
        (_hall, Name, _group) = (hall, name, group);
        _world = new GameWorld(name.Aggregate(17, (seed, c) => unchecked(seed * 31 + c)));
        _began = hall.Time.GetTimestamp();
        _timer = hall.Time.CreateTimer(static r => ((GameRoom)r!).Tick(), this, TickPeriod, Timeout.InfiniteTimeSpan);
    }

    public string Name { get; }

    /// <summary>Nobody is left, and nobody can come in any more.</summary>
    public bool IsClosed => _isClosed;

    /// <summary>Those away too.</summary>
    public int Players
    {
        get
        {
            lock (_gate)
                return _seats.Count;
        }
    }

    /// <summary>Null when the field is full or the name is on it, or the room has just closed.</summary>
    public Seat? Enter(GamePlayer player, string name)
    {
        lock (_gate)
        {
            if (_isClosed || _world.Figures.Any(f => f.Name == name) || _world.Enter(name) is not { } figure)
                return null;
            var seat = new Seat(this, figure) { Player = player };
            _seats.Add(figure, seat);
            _group.Add(player.Session);
            return seat;
        }
    }

    /// <summary>
    /// The figure is given to another connection, also while it is played: a broken connection may look alive for long.
    /// False when its time was over.
    /// </summary>
    public bool TryResume(Seat seat, GamePlayer player)
    {
        GamePlayer? before;
        lock (_gate)
        {
            if (!_seats.ContainsKey(seat.Figure))
                return false;
            before = seat.Player;
            seat.Player = player;
            seat.Figure.IsAway = false;
            if (before is not null)
                _group.Remove(before.Session);
            _group.Add(player.Session);
        }

        before?.Replaced();
        return true;
    }

    public void Wish(Seat seat, Way way)
    {
        lock (_gate)
            seat.Figure.Wish(way);
    }

    /// <summary>The connection is gone; the figure stays for a while. Not if another connection plays it already.
    /// </summary>
    public void Lose(Seat seat, GamePlayer player)
    {
        lock (_gate)
        {
            if (seat.Player != player)
                return;
            _group.Remove(player.Session);
            seat.Player = null;
            seat.Figure.IsAway = true;
            seat.AwaySince = _hall.Time.GetTimestamp();
        }
    }

    public void Leave(Seat seat, GamePlayer player)
    {
        lock (_gate)
        {
            if (seat.Player == player)
                Remove(seat);
        }
    }

    /// <summary>A step of the world, unless the last one was in this very period.</summary>
    public void Tick()
    {
        lock (_gate)
        {
            if (_isClosed)
                return;
            // Set anew each time, for when the next is due: a period would begin late where this one came late.
            var elapsed = _hall.Time.GetElapsedTime(_began);
            var tick = (long)(elapsed / TickPeriod);
            var wait = (tick + 1) * TickPeriod - elapsed;
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(wait.TotalMilliseconds)), Timeout.InfiniteTimeSpan);
            if (tick <= _tick)
                return;
            _tick = tick;
            foreach (var seat in _seats.Values.Where(s => s.Player is null
                && _hall.Time.GetElapsedTime(s.AwaySince) >= AwayMax).ToList())
                Remove(seat);
            if (_seats.Count == 0)
            {
                _isClosed = true;
                Dispose();
                _hall.Closed(this);
                return;
            }

            _world.Step();
            _group.Broadcast(_hall.Encoding.GetBytes(_world.Describe(tick)));
        }
    }

    public void Dispose() => _timer.Dispose();

    private void Remove(Seat seat)
    {
        if (seat.Player is { } player)
            _group.Remove(player.Session);
        _world.Leave(seat.Figure);
        _seats.Remove(seat.Figure);
        _hall.Forget(seat);
    }
}

/// <summary>A figure and who plays it; the token brings its player back.</summary>
internal sealed class Seat(GameRoom room, Figure figure)
{
    public GameRoom Room => room;

    public Figure Figure => figure;

    public string? Token { get; set; }

    /// <summary>Null while away.</summary>
    public GamePlayer? Player { get; set; }

    public long AwaySince { get; set; }
}
