using System.Collections.Concurrent;
using System.Net;
using Mortise.Server;
using Mortise.Telemetry;

namespace Mortise.Sessions.Rates;

/// <summary>
/// The rates of a server: the allowances of its addresses, and what is said of those who are over theirs. An address
/// stays while it has sessions, or until its rate has recovered, so that a reconnect gains nothing.
/// </summary>
internal sealed class RateBook(ConnectionServer server) : IAsyncDisposable
{
    private static readonly TimeSpan SweepAfter = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan TellEvery = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<IPAddress, Allowance> _addresses = new();
    private readonly Lock _sweepGate = new();
    private ITimer? _sweep;
    private bool _isOver;
    private long _toldAt;
    private long _untold;

    public ServerOptions Options => server.Options;

    public TimeProvider Time => server.Options.Time;

    /// <summary>Addresses that are remembered.</summary>
    public int Count => _addresses.Count;

    /// <summary>One more session of this address; each is paid back by one <see cref="Leave"/>.</summary>
    public Allowance Enter(IPAddress address, RateLimit limit)
    {
        while (true)
        {
            var allowance = _addresses.GetOrAdd(address,
                static (_, s) => new Allowance(s.limit, s.Time, isShared: true), (limit, Time));
            lock (allowance)
            {
                if (allowance.IsForgotten)
                    continue;
                allowance.Users++;
                return allowance;
            }
        }
    }

    public void Leave(IPAddress address, Allowance allowance)
    {
        lock (allowance)
            allowance.Users--;
        if (!IsForgotten(address, allowance))
            SweepSoon();
    }

    /// <summary>Counts it, and says it at most once a second.</summary>
    public void Tell(Connection connection, Allowance allowance, bool messages)
    {
        if (!allowance.Disconnects)
            server.Counters.Add(Metrics.RateWaits, 1);
        var now = Time.GetTimestamp();
        var last = Interlocked.Read(ref _toldAt);
        if (last != 0 && Time.GetElapsedTime(last, now) < TellEvery
            || Interlocked.CompareExchange(ref _toldAt, now, last) != last)
        {
            Interlocked.Increment(ref _untold);
            return;
        }

        ServerLog.OverRate(Options.Log, connection.Id, connection.RemoteEndpoint.Authority, allowance.Told(messages),
            allowance.Disconnects ? "closed (rate_limit)" : "read at that rate", Interlocked.Exchange(ref _untold, 0));
    }

    /// <summary>The server is over; sessions may still leave.</summary>
    public ValueTask DisposeAsync()
    {
        lock (_sweepGate)
            _isOver = true;
        StopTimer();
        return ValueTask.CompletedTask;
    }

    /// <summary>True where nothing is left to remember, or somebody is there again.</summary>
    private bool IsForgotten(IPAddress address, Allowance allowance)
    {
        lock (allowance)
        {
            if (allowance.Users > 0 || allowance.IsForgotten)
                return true;
            if (!allowance.IsFull)
                return false;
            allowance.IsForgotten = true;
        }

        _addresses.TryRemove(new(address, allowance));
        return true;
    }

    /// <summary>One timer for all addresses, and none while there is nothing to forget, or after the server: it would
    /// keep all of it alive.</summary>
    private void SweepSoon()
    {
        lock (_sweepGate)
        {
            if (!_isOver)
                _sweep ??= Time.CreateTimer(static b => ((RateBook)b!).Sweep(), this, SweepAfter,
                    Timeout.InfiniteTimeSpan);
        }
    }

    private void Sweep()
    {
        StopTimer(); // before the look: who leaves after it sets another
        var isLeft = false;
        foreach (var (address, allowance) in _addresses)
            isLeft |= !IsForgotten(address, allowance);
        if (isLeft)
            SweepSoon();
    }

    private void StopTimer()
    {
        lock (_sweepGate)
        {
            _sweep?.Dispose();
            _sweep = null;
        }
    }
}
