using Mortise.Server;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>The wheel by itself: what stands there is asked at its tick, whatever else happens.</summary>
public sealed class TimerWheelTests
{
    private readonly TimerWheel _wheel = new(home: null);
    private readonly Random _random = new(7);

    [Fact]
    public void A_hundred_thousand_deadlines_are_met_at_their_tick_and_none_early()
    {
        var entries = Enumerable.Range(0, 100_000).Select(_ => new Entry(_random.Next(1, 5000))).ToArray();
        foreach (var entry in entries)
            _wheel.Add(entry, entry.Deadline);
        for (var now = 1; now <= 5000; now++)
            _wheel.Advance(now);
        Assert.All(entries, e => Assert.Equal([e.Deadline], e.Acted));
        Assert.Equal(100_000, _wheel.Count);   // they stay until they are removed
    }

    [Fact]
    public void Deadlines_that_move_cost_nothing_until_they_are_looked_at()
    {
        var entries = Enumerable.Range(0, 100_000).Select(_ => new Entry(10)).ToArray();
        foreach (var entry in entries)
            _wheel.Add(entry, 10);
        for (var now = 1; now <= 1000; now++)
        {
            foreach (var entry in entries.AsSpan(now % 10 * 10_000, 5_000))
                entry.Deadline = now + 700;
            _wheel.Advance(now);
        }

        for (var now = 1001; now <= 2000; now++)
            _wheel.Advance(now);
        Assert.All(entries, e => Assert.Equal([e.Deadline], e.Acted));
        Assert.All(entries, e => Assert.InRange(e.Looks, 1, 4));
    }

    [Fact]
    public void What_is_removed_at_any_time_is_never_asked_again()
    {
        var standing = new HashSet<Entry>();
        var removed = new List<(Entry Entry, int Looks)>();
        for (var now = 1; now <= 3000; now++)
        {
            for (var i = 0; i < 20; i++)
            {
                var entry = new Entry(now + _random.Next(1, 1200));
                _wheel.Add(entry, entry.Deadline);
                standing.Add(entry);
            }

            foreach (var entry in standing.Where(_ => _random.Next(60) == 0).ToList())
            {
                Assert.True(_wheel.Remove(entry));
                Assert.False(_wheel.Remove(entry));
                standing.Remove(entry);
                removed.Add((entry, entry.Looks));
            }

            _wheel.Advance(now);
        }

        Assert.All(removed, r => Assert.Equal(r.Looks, r.Entry.Looks));
        var seen = new HashSet<WheelEntry>();
        _wheel.Visit(seen, static (all, entry) => Assert.True(all.Add(entry)));
        Assert.Equal(standing.Count, _wheel.Count);
        Assert.True(seen.SetEquals(standing));
    }

    [Fact]
    public void Turns_left_out_are_made_up_for()
    {
        var entries = Enumerable.Range(1, 3000).Select(deadline => new Entry(deadline)).ToArray();
        foreach (var entry in entries)
            _wheel.Add(entry, entry.Deadline);
        _wheel.Advance(2500);
        Assert.All(entries, e => Assert.Equal(e.Deadline <= 2500 ? [2500L] : [], e.Acted));
        _wheel.Advance(2500);
        _wheel.Advance(3000);
        Assert.All(entries, e => Assert.Single(e.Acted));
    }

    [Fact]
    public void A_wheel_with_a_home_turns_there_and_what_a_busy_home_misses_does_not_count()
    {
        var posted = new Queue<(SendOrPostCallback Work, object? State)>();
        var wheel = new TimerWheel("home", (work, state) => posted.Enqueue((work, state)));
        var entry = new Entry(3);
        wheel.Add(entry, 3);
        for (var i = 0; i < 10; i++)
            wheel.Tick();
        Assert.Single(posted);
        for (var tick = 1; tick <= 3; tick++)
        {
            Assert.Empty(entry.Acted);
            var (work, state) = posted.Dequeue();
            work(state);
            wheel.Tick();
        }

        Assert.Equal([3L], entry.Acted);
        Assert.Equal(3, wheel.Ticks.Value);
    }

    [Fact]
    public void Who_removes_itself_or_others_while_acting_breaks_nothing()
    {
        var entries = Enumerable.Range(0, 1000).Select(_ => new Entry(5)).ToArray();
        foreach (var entry in entries)
        {
            entry.WhenActing = () => Array.ForEach(entries, e => _wheel.Remove(e));
            _wheel.Add(entry, 5);
        }

        _wheel.Advance(5);
        Assert.Equal(0, _wheel.Count);
    }

    /// <summary>Acts once, at its deadline, which may move.</summary>
    private sealed class Entry(long deadline) : WheelEntry
    {
        public long Deadline { get; set; } = deadline;

        public int Looks { get; private set; }

        public List<long> Acted { get; } = [];

        public Action? WhenActing { get; set; }

        protected internal override long Look(long now, out bool act)
        {
            Looks++;
            act = now >= Deadline && Acted.Count == 0;
            if (act)
                Acted.Add(now);
            return act ? long.MaxValue / 2 : Deadline;
        }

        protected internal override void Act() => WhenActing?.Invoke();
    }
}
