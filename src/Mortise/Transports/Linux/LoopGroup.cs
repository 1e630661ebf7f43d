using Mortise.Transports.Epoll;
using Mortise.Transports.Loops;

namespace Mortise.Transports.Linux;

/// <summary>
/// The event loops of a kind and number, which all servers and clients of the process that ask for them share. They are
/// started when they are first needed and stay. A newcomer goes to the loop with the fewest connections; one that its
/// loop does not pick up, because somebody's code blocks it, goes to another.
/// </summary>
internal sealed class LoopGroup
{
    private static readonly TimeSpan PickUpTimeout = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan LookEvery = PickUpTimeout / 2;
    private static readonly Dictionary<(EngineKind, int), LoopGroup> Groups = [];

    private readonly Lock _gate = new();
    private readonly EngineKind _kind;
    private readonly Func<EngineKind, Poller> _makePoller;
    private readonly Place[] _places;
    private readonly Queue<LoopNewcomer> _onTheWay = [];
    private readonly Timer _look;
    private EventLoop? _acceptor;
    private int _next;

    private LoopGroup(EngineKind kind, int count, Func<EngineKind, Poller> makePoller)
    {
        _kind = kind;
        _makePoller = makePoller;
        _places = [.. Enumerable.Range(1, count).Select(n => new Place { Name = $"mortise-loop-{n}" })];
        _look = new Timer(static g => ((LoopGroup)g!).LookForTheStranded(), this, Timeout.Infinite, Timeout.Infinite);
    }

    /// <param name="kind">Which kernel interface the loops stand on.</param>
    /// <param name="loops">How many; 0 = one for each CPU.</param>
    /// <param name="makePoller">Makes a loop's poller, on its thread.</param>
    public static LoopGroup Of(EngineKind kind, int loops, Func<EngineKind, Poller> makePoller)
    {
        var count = loops > 0 ? loops : Math.Clamp(Environment.ProcessorCount, 1, TransportOptions.LoopsMax);
        lock (Groups)
        {
            if (!Groups.TryGetValue((kind, count), out var group))
                Groups[(kind, count)] = group = new LoopGroup(kind, count, makePoller);
            return group;
        }
    }

    /// <summary>Loops for connections, started or not.</summary>
    public int Loops => _places.Length;

    /// <summary>
    /// Where listeners are watched: a loop of its own that runs nobody's handlers, so that no blocked handler keeps
    /// newcomers from the other loops. Only a single loop over epoll accepts for itself.
    /// </summary>
    /// <remarks>
    /// Always over epoll: a request that waits in io_uring holds the listening socket open, for some milliseconds even
    /// when the process has been killed; clients that come in that time would be accepted by nobody.
    /// </remarks>
    /// <exception cref="MortiseException">The kernel refused a loop.</exception>
    public EventLoop Acceptor
    {
        get
        {
            lock (_gate)
                return _acceptor ??= _places.Length == 1 && _kind == EngineKind.Epoll
                    ? Started(_places[0])
                    : Start("mortise-accept", static () => new EpollPoller());
        }
    }

    /// <exception cref="MortiseException">The kernel refused a loop.</exception>
    public void StartAll()
    {
        lock (_gate)
            foreach (var place in _places)
                Started(place);
    }

    /// <summary>
    /// A home for a connection that is opened in this process: the caller's own loop, else the one with least to do.
    /// </summary>
    /// <exception cref="MortiseException">The kernel refused a loop.</exception>
    public EventLoop HomeFor(EventLoop? caller)
    {
        lock (_gate)
        {
            foreach (var place in caller is null ? [] : _places)
                if (place.Loop == caller)
                    return caller!;
            return Started(Choose());
        }
    }

    /// <summary>Sends a newcomer to a loop, whose thread will call <see cref="LoopNewcomer.Arrive"/>.</summary>
    public void HandOver(LoopNewcomer newcomer)
    {
        EventLoop loop;
        lock (_gate)
        {
            newcomer.Place = Choose();
            newcomer.Place.OnTheWay++;
            loop = Started(newcomer.Place);
            if (_places.Length > 1)
            {
                newcomer.SentAt = Environment.TickCount64;
                _onTheWay.Enqueue(newcomer);
                if (_onTheWay.Count == 1)
                    _look.Change(LookEvery, Timeout.InfiniteTimeSpan);
            }
        }

        newcomer.Send(loop);
    }

    /// <summary>A loop has picked the newcomer up.</summary>
    public void PickedUp(LoopNewcomer newcomer)
    {
        lock (_gate)
            newcomer.Place!.OnTheWay--;
    }

    /// <summary>
    /// Newcomers that nobody has picked up in time go to another loop as well; the first to come to them has them.
    /// </summary>
    private void LookForTheStranded()
    {
        var sent = new List<(LoopNewcomer Newcomer, EventLoop Loop)>();
        lock (_gate)
        {
            var now = Environment.TickCount64;
            for (var left = _onTheWay.Count; left > 0; left--)
            {
                var newcomer = _onTheWay.Peek();
                if (!newcomer.IsPickedUp && now - newcomer.SentAt < PickUpTimeout.TotalMilliseconds)
                    break;
                _onTheWay.Dequeue();
                if (newcomer.IsPickedUp)
                    continue;
                if (newcomer.Place is { IsBlocked: true } place && Choose() is { IsBlocked: false } other)
                {
                    place.OnTheWay--;
                    other.OnTheWay++;
                    newcomer.Place = other;
                    newcomer.SentAt = now;
                    sent.Add((newcomer, Started(other)));
                }

                _onTheWay.Enqueue(newcomer);
            }

            if (_onTheWay.Count > 0)
                _look.Change(LookEvery, Timeout.InfiniteTimeSpan);
        }

        foreach (var (newcomer, loop) in sent)
            newcomer.Send(loop);
    }

    /// <summary>The least loaded place that is not blocked; of equals each in its turn. Under the gate.</summary>
    private Place Choose()
    {
        var first = _next = (_next + 1) % _places.Length;
        var best = _places[first];
        for (var i = 1; i < _places.Length; i++)
        {
            var other = _places[(first + i) % _places.Length];
            if (other.Rank.CompareTo(best.Rank) < 0)
                best = other;
        }

        return best;
    }

    private static EventLoop Start(string name, Func<Poller> makePoller)
    {
        var loop = new EventLoop(name, makePoller);
        LoopWatchdog.Add(loop);
        return loop;
    }

    private EventLoop Started(Place place) => place.Loop ??= Start(place.Name, () => _makePoller(_kind));

    /// <summary>A loop of the group, running or not yet, and what is known of it.</summary>
    public sealed class Place
    {
        public required string Name { get; init; }

        public EventLoop? Loop { get; set; }

        public int OnTheWay { get; set; }

        public bool IsBlocked => Loop is { IsBlocked: true };

        /// <summary>To compare: blocked ones last, then by load; a loop that runs already before one that does
        /// not.</summary>
        public (bool, int, bool) Rank => (IsBlocked, (Loop?.Connections ?? 0) + OnTheWay, Loop is null);
    }
}
