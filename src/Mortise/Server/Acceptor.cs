using Mortise.Telemetry;
using Mortise.Transports;

namespace Mortise.Server;

/// <summary>
/// Takes newcomers from the listeners, asks <see cref="Admission"/>, and hands those who may come in to
/// <paramref name="start"/>. It ends when accepting is suspended, and with nothing else.
/// </summary>
internal sealed class Acceptor(ServerOptions options, Admission admission, ServerCounters counters,
    Action<Newcomer, string> start)
{
    private readonly List<Listener> _listeners = [];
    private readonly List<Task> _accepting = [];
    private readonly CancellationTokenSource _suspended = new();
    private Task? _suspending;
    private long _atLimitLogged;

    public IReadOnlyList<Listener> Listeners => _listeners;

    public void Bind(Transport transport, Endpoint endpoint)
    {
        var listener = transport.Listen(endpoint, options.Transport);
        if (_listeners.TrueForAll(other => other.Engine != listener.Engine))
            ServerLog.Engine(options.Log, listener.Engine);
        listener.Attach(counters, options.Log);
        _listeners.Add(listener);
        ServerLog.Listening(options.Log, listener.Endpoint.ToString(), transport.Name);
    }

    public void Begin()
    {
        foreach (var listener in _listeners)
            _accepting.Add(listener.RunAsync(() => AcceptLoopAsync(listener)));
    }

    /// <summary>Stops accepting. Connections that the kernel had completed already are still served.</summary>
    public Task SuspendAsync()
    {
        lock (_listeners)
            return _suspending ??= CloseListenersAsync();
    }

    /// <summary>Closes the listeners at once; who waits in their queues is reset by the kernel.</summary>
    public void Close()
    {
        _suspended.Cancel();
        foreach (var listener in _listeners)
            listener.Dispose();
    }

    private async Task AcceptLoopAsync(Listener listener)
    {
        var name = listener.Endpoint.ToString();
        var pause = new AcceptPause(options, name);
        while (!_suspended.IsCancellationRequested)
        {
            try
            {
                var newcomer = await MeetAsync(listener).ConfigureAwait(false);
                pause.Recovered();
                if (IsAdmitted(newcomer))
                    await StartAsync(newcomer, listener, name).ConfigureAwait(false);
                if (options.AcceptDelay > TimeSpan.Zero)
                    await Task.Delay(options.AcceptDelay, options.Time, _suspended.Token).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception e)
            {
                // Out of descriptors or memory, a client gone before accept, or what nobody foresaw:
                // nothing ends this loop but the end of accepting.
                counters.Rejected(RejectReason.AcceptError);
                await pause.AfterAsync(e, _suspended.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task CloseListenersAsync()
    {
        await _suspended.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_accepting).ConfigureAwait(false);
        foreach (var listener in _listeners)
        {
            TakeWaiting(listener);
            listener.Dispose();
        }
    }

    private async ValueTask<Newcomer> MeetAsync(Listener listener)
    {
        if (!admission.TryClaimDescriptor())
        {
            LogAtLimit(listener.Endpoint.ToString());
            listener.MakeRoom();
            await admission.ClaimDescriptorAsync(_suspended.Token).ConfigureAwait(false);
        }

        try
        {
            return await listener.MeetAsync(_suspended.Token).ConfigureAwait(false);
        }
        catch
        {
            admission.ReleaseDescriptor();
            throw;
        }
    }

    private void TakeWaiting(Listener listener)
    {
        // Bounded by the accept queue: nobody can enter it faster than this empties it for longer than a moment.
        for (var taken = 0; taken <= listener.Backlog && admission.TryClaimDescriptor(); taken++)
        {
            if (admission.IsFull || TakeOne(listener) is not { } newcomer)
            {
                admission.ReleaseDescriptor();
                return;
            }

            if (!IsAdmitted(newcomer))
                continue;
            if (admission.TryClaimPlace())
                start(newcomer, listener.Endpoint.ToString());
            else
                TurnAway(newcomer, CloseReason.Drain);
        }
    }

    /// <summary>The next that waits, or null; an error here must not keep the listeners from being closed.</summary>
    private Newcomer? TakeOne(Listener listener)
    {
        try
        {
            return listener.TryMeet(out var newcomer) ? newcomer : null;
        }
        catch (MortiseException)
        {
            counters.Rejected(RejectReason.AcceptError);
            return null;
        }
    }

    private bool IsAdmitted(Newcomer newcomer)
    {
        var welcome = IsWelcome(newcomer);
        if (welcome && admission.TryEnter(newcomer.Remote))
            return true;
        counters.Rejected(welcome ? RejectReason.AddressLimit : RejectReason.Denied);
        ServerLog.Rejected(options.Log, newcomer.Remote.Authority, welcome ? "address_limit" : "denied");
        newcomer.Refuse(CloseReason.RateLimit);
        admission.ReleaseDescriptor();
        return false;
    }

    /// <summary>A judge that throws has not said yes, and must not take the accept loop with it.</summary>
    private bool IsWelcome(Newcomer newcomer)
    {
        try
        {
            // Of a proxy's connections the lists judge those for whom it speaks, when that is known.
            return options.Trusts(newcomer.Remote) ? !options.Denies(newcomer.Remote)
                : options.Admits(newcomer.Remote);
        }
        catch (Exception e)
        {
            ServerLog.HandlerFault(options.Log, e, newcomer.Remote.Authority);
            return false;
        }
    }

    private void TurnAway(Newcomer newcomer, CloseReason reason)
    {
        newcomer.Refuse(reason);
        admission.Leave(newcomer.Remote);
        admission.ReleaseDescriptor();
    }

    /// <summary>Holds the newcomer back until there is a place; when accepting stops first, it has to go.</summary>
    private async ValueTask StartAsync(Newcomer newcomer, Listener listener, string name)
    {
        if (!admission.TryClaimPlace())
        {
            LogAtLimit(name);
            listener.MakeRoom();
            var place = admission.ClaimPlaceAsync(_suspended.Token);
            await place.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!place.IsCompletedSuccessfully)
            {
                TurnAway(newcomer, CloseReason.Drain);
                return;
            }
        }

        start(newcomer, name);
    }

    /// <summary>At most one line a second: a full server has other things to do than to say so.</summary>
    private void LogAtLimit(string listener)
    {
        var now = options.Time.GetTimestamp();
        var last = Interlocked.Read(ref _atLimitLogged);
        if (last != 0 && options.Time.GetElapsedTime(last, now) < TimeSpan.FromSeconds(1)
            || Interlocked.CompareExchange(ref _atLimitLogged, now, last) != last)
            return;
        ServerLog.AtLimit(options.Log, listener, admission.Limit, admission.Bound);
    }
}
