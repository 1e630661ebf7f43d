using Mortise.Sessions.Asking;

namespace Mortise.Returning;

/// <summary>Gives one message after another to the user's function, over all connections.</summary>
internal sealed class Handling<T>
{
    private static readonly AsyncLocal<Handling<T>?> Inside = new();

    private readonly Backlog<(Session<T> Session, T Message)> _inbox;
    private readonly Func<Session<T>, T, ValueTask> _handler;
    private readonly Task _running;
    private volatile Fault? _fault;
    private volatile bool _isStopped;

    public Handling(Backlog<(Session<T> Session, T Message)> inbox, Func<Session<T>, T, ValueTask> handler)
    {
        (_inbox, _handler) = (inbox, handler);
        _running = Task.Run(RunAsync);
    }

    /// <summary>The caller is the function itself, so nobody may wait for its end.</summary>
    public bool IsInside => Inside.Value == this;

    /// <summary>What the function threw at a message of this session.</summary>
    public Exception? FaultOf(Session<T> session) => _fault is { } fault && fault.Session == session ? fault.Why : null;

    /// <summary>Waits for the messages that are left; later than that no further one is handled.</summary>
    public async Task EndAsync(CancellationToken deadline)
    {
        await _running.WaitAsync(deadline).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _isStopped = true;
    }

    private async Task RunAsync()
    {
        Inside.Value = this;
        while (!_isStopped && await _inbox.WaitAsync(default).ConfigureAwait(false))
        {
            while (!_isStopped && _inbox.TryTake(out var received))
            {
                if (FaultOf(received.Session) is null)
                    await HandleAsync(received.Session, received.Message).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask HandleAsync(Session<T> session, T message)
    {
        try
        {
            await _handler(session, message).ConfigureAwait(false);
        }
        catch (MortiseException) when (session.CloseReason is not null)
        {
            // The answer came too late: the client is told why in its state.
        }
        catch (Exception e)
        {
            _fault = new Fault(session, e);
            session.Connection.AbortFor(CloseReason.HandlerFault);
        }
    }

    private sealed record Fault(Session<T> Session, Exception Why);
}
