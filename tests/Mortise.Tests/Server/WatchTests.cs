using Mortise.Server;
using Mortise.Testing;
using Mortise.Transports;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>
/// The timeouts of thousands of connections by a clock that the test moves: each is met within one tick after its due
/// time, none early. The connections are real; bytes are only counted, not moved.
/// </summary>
public sealed class WatchTests : IDisposable
{
    private readonly ManualTime _time = new();
    private readonly Random _random = new(11);
    private readonly ServerOptions _options = new();

    public WatchTests() => _options.Transport.Time = _time;

    [Fact]
    public void Frames_of_ten_thousand_connections_are_over_in_their_time_and_none_early()
    {
        using var watch = Watch(o => (o.FrameTimeout, o.FrameBytesPerSecondMin) = (TimeSpan.FromSeconds(15), 0));
        var peers = Enumerable.Range(0, 10_000).Select(_ => Add(watch)).ToArray();
        for (var step = 0; step < 600; step++)
        {
            foreach (var peer in peers.AsSpan(step * 100 % 10_000, 100))
                peer.Move(_random.Next(3));
            _time.Advance(TimeSpan.FromSeconds(0.1));
        }

        Assert.InRange(peers.Count(p => p.Ended is not null), 2_000, 9_000);
        Assert.All(peers, p => p.AssertEndedWithin(TimeSpan.FromSeconds(15), TimeSpan.FromSeconds(1)));
    }

    [Theory, InlineData(0.4), InlineData(40)]
    public void Idle_connections_are_let_go_in_their_time_however_often_bytes_came(double idleSeconds)
    {
        var idle = TimeSpan.FromSeconds(idleSeconds);
        using var watch = Watch(o => o.IdleTimeout = idle);
        var tick = TimeSpan.FromMilliseconds(Math.Clamp(idle.TotalMilliseconds / 4, 10, 1000));
        var peers = Enumerable.Range(0, 1_000).Select(_ => Add(watch)).ToArray();
        for (var step = 0; step < 400; step++)
        {
            foreach (var peer in peers)
                if (_random.Next(200) == 0)
                    peer.Receive();
            _time.Advance(idle / 50);
        }

        _time.Advance(4 * idle);
        // Let go after one idle time, and cut off after another, because no handler leaves here.
        Assert.All(peers, p => p.AssertLetGoWithin(idle, tick));
        Assert.All(peers, p => Assert.Equal(CloseReason.Idle, p.Connection.CloseReason));
        Assert.Equal(1_000, watch.Live.Count);
        Assert.All(peers, p => ConnectionWatch.Remove(p.Connection));
        Assert.Empty(watch.Live);
    }

    [Fact]
    public async Task The_register_is_right_while_connections_come_and_go_and_timeouts_run()
    {
        using var watch = Watch(o => o.IdleTimeout = TimeSpan.FromSeconds(1));
        var staying = Enumerable.Range(0, 500).Select(_ => (Connection)Add(watch).Connection).ToHashSet();
        using var done = new CancellationTokenSource();
        var comingAndGoing = Enumerable.Range(0, 3).Select(_ => Task.Run(() =>
        {
            while (!done.IsCancellationRequested)
            {
                var some = Enumerable.Range(0, 50).Select(_ => Memory()).ToList();
                some.ForEach(watch.Add);
                some.ForEach(ConnectionWatch.Remove);
            }
        })).ToArray();
        for (var i = 0; i < 300; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(0.05));
            var live = watch.Live;
            Assert.True(staying.IsSubsetOf(live));
            Assert.Equal(live.Count, live.ToHashSet().Count);
            Assert.InRange(watch.Sum(static _ => 1), 500, 500 + 150);
        }

        await done.CancelAsync();
        await Task.WhenAll(comingAndGoing);
        Assert.True(staying.SetEquals(watch.Live));
    }

    [Fact]
    public void The_record_of_a_connection_is_at_most_150_bytes()
    {
        using var watch = Watch(_ => { });
        var connections = Enumerable.Range(0, 10_000).Select(_ => Memory()).ToArray();
        watch.Add(Memory());
        var before = GC.GetAllocatedBytesForCurrentThread();
        foreach (var connection in connections)
            watch.Add(connection);
        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / 10_000, 1, 150);
        Assert.Equal(10_001, watch.Live.Count);
    }

    public void Dispose() => Assert.Equal(0, _time.Pending);   // one timer for all, and it is gone

    private ConnectionWatch Watch(Action<ServerOptions> configure)
    {
        configure(_options);
        var watch = new ConnectionWatch(_options);
        Assert.Equal(1, _time.Pending);
        return watch;
    }

    private Peer Add(ConnectionWatch watch)
    {
        var connection = Memory();
        watch.Add(connection);
        return new Peer(connection, _time);
    }

    private static WireConnection Memory() => new(new SilentWire(), "mem:here", "mem:there");

    /// <summary>What the test knows of a connection: when something happened, by the clock.</summary>
    private sealed class Peer : IConnectionOwner
    {
        private readonly ManualTime _time;
        private TimeSpan _received;
        private TimeSpan? _begun;

        public Peer(WireConnection connection, ManualTime time)
        {
            (Connection, _time) = (connection, time);
            connection.Adopt(this);
            _received = time.Elapsed;
        }

        public WireConnection Connection { get; }

        public TimeSpan? Ended { get; private set; }

        public void Released() => Ended = _time.Elapsed;

        public void HomeBlocked(Connection connection, bool certain, string home, int others, TimeSpan elapsed) =>
            Assert.Fail($"{home} is blocked");

        public void Receive()
        {
            if (Ended is not null)
                return;
            Connection.CountReceived(1);
            _received = _time.Elapsed;
        }

        /// <summary>A frame begins, goes on, or becomes whole.</summary>
        public void Move(int how)
        {
            if (Ended is not null)
                return;
            Receive();
            if (how == 0)
            {
                Connection.FrameBegunAt = -1;
                _begun = null;
            }
            else if (_begun is null)
            {
                Connection.FrameBegunAt = Connection.BytesReceived - 1;
                _begun = _time.Elapsed;
            }
        }

        public void AssertEndedWithin(TimeSpan timeout, TimeSpan tick)
        {
            var due = _begun + timeout;
            if (Ended is { } ended)
                Assert.InRange(ended, due!.Value, due.Value + tick);
            else
                Assert.True(due is null || _time.Elapsed < due + tick, $"due at {due}, alive at {_time.Elapsed}");
        }

        public void AssertLetGoWithin(TimeSpan idle, TimeSpan tick) =>
            Assert.InRange(Ended!.Value, _received + 2 * idle, _received + 2 * idle + 2 * tick);
    }

    /// <summary>Has nothing to say and takes nothing.</summary>
    private sealed class SilentWire : Wire
    {
        public override int TryReceive(Memory<byte> buffer) => -1;

        public override ValueTask WaitReadableAsync() => new(Task.Delay(Timeout.Infinite));

        public override void WakeReader()
        {
        }

        public override int TrySend(ReadOnlyMemory<byte> bytes) => 0;

        public override int TrySend(IList<ArraySegment<byte>> buffers) => 0;

        public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) =>
            new(Task.Delay(Timeout.Infinite).ContinueWith(_ => 0, TaskScheduler.Default));

        public override void ShutdownSend()
        {
        }

        public override void Close(bool reset)
        {
        }
    }
}
