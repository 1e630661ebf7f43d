using Mortise.Errors;
using Mortise.Transports;

namespace Mortise.Client;

/// <summary>
/// One connect over several addresses: each gets a head start, then the next joins; the first that answers wins, the
/// others are cancelled, and a late winner is closed. Every attempt is remembered for the error.
/// </summary>
internal sealed class AddressRace(Transport transport, ClientOptions options, Endpoint endpoint,
    DescriptorLedger? ledger = null)
{
    private const int Emfile = 24;

    private readonly DescriptorLedger _ledger = ledger ?? DescriptorLedger.Process;
    private readonly TimeProvider _time = options.Transport.Time;
    private readonly long _started = options.Transport.Time.GetTimestamp();
    private readonly List<ConnectAttempt> _attempts = [];
    private readonly List<(Endpoint Address, long Since)> _open = [];
    private readonly List<(Endpoint Address, long Since)> _withoutDescriptor = [];

    public async ValueTask<Connection> RunAsync(IReadOnlyList<Endpoint> addresses, CancellationToken cancellationToken)
    {
        if (addresses.Count == 1)
            return await AttemptAsync(addresses[0], cancellationToken).ConfigureAwait(false);

        using var losers = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var running = new List<Task<Connection>>();
        ConnectException? last = null;
        try
        {
            for (var next = 0; next < addresses.Count || running.Count > 0;)
            {
                if (next < addresses.Count)
                    running.Add(AttemptAsync(addresses[next++], losers.Token).AsTask());
                var done = await FirstAsync(running, next < addresses.Count, cancellationToken).ConfigureAwait(false);
                if (done is null)
                    continue;
                running.Remove(done);
                try
                {
                    return await done.ConfigureAwait(false);
                }
                catch (ConnectException e)
                {
                    last = e;
                }
            }
        }
        finally
        {
            await losers.CancelAsync().ConfigureAwait(false);
            foreach (var late in running)
                _ = CloseLateAsync(late);
        }

        throw AllFailed(last!);
    }

    /// <summary>The error when time ran out, with what was still being tried.</summary>
    public ConnectException TimedOut(TimeSpan timeout)
    {
        lock (_attempts)
        {
            foreach (var (address, since) in _open)
                _attempts.Add(new ConnectAttempt(address.Authority, "ETIMEDOUT", _time.GetElapsedTime(since)));
            foreach (var (address, since) in _withoutDescriptor)
                _attempts.Add(new ConnectAttempt(address.Authority, "EMFILE", _time.GetElapsedTime(since)));
            if (_open.Count == 0 && _withoutDescriptor.Count > 0)
            {
                return Failures.Connect(Emfile, endpoint.ToString(), [.. _attempts],
                    $"none became free within {timeout.TotalSeconds:0.###} s, nothing was sent; {_ledger.Claimed} are "
                    + $"sockets of this program, of a limit of {_ledger.Limit}{Listed()}");
            }

            return new ConnectException(endpoint.ToString(), "ETIMEDOUT",
                $"no answer within {timeout.TotalSeconds:0.###} s{Listed()}",
                "a firewall may drop the packets, the host may be off, or the server's accept queue may be full",
                110, [.. _attempts]);
        }
    }

    private async ValueTask<Connection> AttemptAsync(Endpoint address, CancellationToken cancellationToken)
    {
        await ClaimAsync(address, cancellationToken).ConfigureAwait(false);
        var since = _time.GetTimestamp();
        lock (_attempts)
            _open.Add((address, since));
        try
        {
            var connection = await transport.ConnectAsync(address, options.Transport, cancellationToken)
                .ConfigureAwait(false);
            connection.Adopt(_ledger);
            return connection;
        }
        catch (ConnectException e)
        {
            _ledger.Release();
            lock (_attempts)
            {
                _open.Remove((address, since));
                _attempts.Add(new ConnectAttempt(address.Authority, e.Symbol, _time.GetElapsedTime(since)));
                throw new ConnectException(endpoint.ToString(), e.Symbol, e.Reason, e.Hint, e.Errno, [.. _attempts],
                    e.InnerException);
            }
        }
        catch
        {
            _ledger.Release();
            throw;
        }
    }

    /// <summary>Waits where there is none; that is no attempt yet, and no fault of the peer.</summary>
    private async ValueTask ClaimAsync(Endpoint address, CancellationToken cancellationToken)
    {
        if (_ledger.TryClaim())
            return;
        var waiting = (address, _time.GetTimestamp());
        lock (_attempts)
            _withoutDescriptor.Add(waiting);
        await _ledger.ClaimAsync(cancellationToken).ConfigureAwait(false);
        lock (_attempts)
            _withoutDescriptor.Remove(waiting);
    }

    /// <summary>The first attempt to end, or null when the head start is over and another may join.</summary>
    private async Task<Task<Connection>?> FirstAsync(List<Task<Connection>> running, bool othersWait,
        CancellationToken cancellationToken)
    {
        var first = Task.WhenAny(running);
        if (!othersWait)
            return await first.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            return await first.WaitAsync(options.AttemptDelay, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return null;
        }
    }

    private ConnectException AllFailed(ConnectException last)
    {
        lock (_attempts)
            return new ConnectException(endpoint.ToString(), last.Symbol, last.Reason + Listed(), last.Hint, last.Errno,
                [.. _attempts], last.InnerException);
    }

    private string Listed() => _attempts.Count < 2
        ? ""
        : ": tried " + string.Join(", ",
            _attempts.Select(a => $"{a.Address} {a.Symbol} after {a.Elapsed.TotalMilliseconds:0.#} ms"));

    private static async Task CloseLateAsync(Task<Connection> late)
    {
        try
        {
            (await late.ConfigureAwait(false)).Abort();
        }
        catch (Exception e) when (e is MortiseException or OperationCanceledException)
        {
            // A loser that lost: its descriptor is freed already, and the winner is with the caller.
        }
    }
}
