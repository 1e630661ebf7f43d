using System.Runtime.CompilerServices;

namespace Mortise.Server;

/// <summary>
/// What stands on a <see cref="TimerWheel"/>: it links itself, so standing there allocates nothing. It is asked when
/// its time has come, and says when to be asked again; moving its deadline in between costs nothing, because it says so
/// only then.
/// </summary>
internal abstract class WheelEntry
{
    internal WheelEntry? Next;
    internal WheelEntry? Previous;

    /// <summary>The tick at which it is asked, or -1 when it stands on no wheel.</summary>
    internal long Due = -1;

    /// <summary>
    /// The tick at which it wants to be asked next. <paramref name="act"/> is true when <see cref="Act"/> shall follow.
    /// It runs under the wheel's lock, so it looks and does nothing.
    /// </summary>
    protected internal abstract long Look(long now, out bool act);

    /// <summary>What is overdue; outside the lock, and the entry may have been removed meanwhile.</summary>
    protected internal abstract void Act();
}

/// <summary>
/// A hashed timer wheel (Varghese and Lauck, 1987): one slot per tick, deadlines further away than a turn wait in their
/// slot for their round. Adding, removing and moving take the same time for one entry and for 100,000. Safe from any
/// thread; the lock is uncontended where a wheel has a home.
/// </summary>
internal class TimerWheel(object? home, Action<SendOrPostCallback, object?>? post = null)
{
    private const int Slots = 512;

    private readonly WheelEntry?[] _slots = new WheelEntry?[Slots];
    private readonly Lock _gate = new();
    private readonly List<WheelEntry> _acting = [];
    private long _now;
    private int _count;
    private int _underway;

    /// <summary>The event loop whose connections stand here, or null for all that have none.</summary>
    public object? Home => home;

    public int Count => Volatile.Read(ref _count);

    public void Add(WheelEntry entry, long due)
    {
        lock (_gate)
        {
            Link(entry, due);
            _count++;
        }
    }

    /// <summary>False when it does not stand here any more.</summary>
    public bool Remove(WheelEntry entry)
    {
        lock (_gate)
        {
            if (entry.Due < 0)
                return false;
            if (entry.Next is { } next)
                next.Previous = entry.Previous;
            if (entry.Previous is { } previous)
                previous.Next = entry.Next;
            else
                _slots[entry.Due % Slots] = entry.Next;
            (entry.Next, entry.Previous, entry.Due) = (null, null, -1);
            _count--;
            return true;
        }
    }

    /// <summary>
    /// Ticks that this wheel has had. Its entries note them; they are counted, not computed from a clock: while a home
    /// is blocked nobody receives what its peers send, so that time is nobody's fault and must not count.
    /// </summary>
    public StrongBox<long> Ticks { get; } = new();

    /// <summary>The next tick: on the home's thread, soon; or here where there is no home.</summary>
    public void Tick()
    {
        if (post is null)
            Advance(++Ticks.Value);
        else if (Interlocked.Exchange(ref _underway, 1) == 0)
            post(static w => ((TimerWheel)w!).Arrive(), this);
    }

    /// <summary>
    /// Asks every entry whose tick has come. Not again while it runs: one timer or one loop turns a wheel.
    /// </summary>
    public void Advance(long now)
    {
        lock (_gate)
        {
            // After a turn that was left out, each slot once is enough.
            for (var tick = Math.Max(_now + 1, now - Slots + 1); tick <= now; tick++)
                Ask(tick % Slots, now);
            _now = Math.Max(_now, now);
        }

        foreach (var entry in _acting)
            entry.Act();
        _acting.Clear();
    }

    /// <summary>Calls <paramref name="visit"/> for everything that stands here, under the lock: look only.</summary>
    public void Visit<TState>(TState state, Action<TState, WheelEntry> visit)
    {
        lock (_gate)
        {
            foreach (var first in _slots)
                for (var entry = first; entry is not null; entry = entry.Next)
                    visit(state, entry);
        }
    }

    private void Ask(long slot, long now)
    {
        var entry = _slots[slot];
        _slots[slot] = null;
        while (entry is not null)
        {
            var next = entry.Next;
            var due = entry.Due;
            if (due <= now)
            {
                due = entry.Look(now, out var act);
                if (act)
                    _acting.Add(entry);
            }

            Link(entry, Math.Max(due, now + 1));
            entry = next;
        }
    }

    private void Link(WheelEntry entry, long due)
    {
        ref var first = ref _slots[due % Slots];
        (entry.Due, entry.Previous, entry.Next) = (due, null, first);
        if (first is not null)
            first.Previous = entry;
        first = entry;
    }

    private void Arrive()
    {
        Volatile.Write(ref _underway, 0);
        Advance(++Ticks.Value);
    }
}
