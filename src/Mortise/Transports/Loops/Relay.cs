using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// An echo or a proxy on one loop: what arrives on one connection is queued on another (or the same) as it is. It stops
/// taking while the destination's queue is full.
/// </summary>
internal sealed class Relay(LoopConnection source, LoopWriter destination) : TaskCompletionSource
{
    private bool _blocked;
    private Exception? _fault;

    public Task Start(Block? held, int start)
    {
        for (var next = held; next is { } block; start = 0)
        {
            next = block.NextBlock;
            Forward(block, start);
        }

        GoOn();
        return Task;
    }

    /// <summary>False when the destination's queue is full: then the block stays with the source.</summary>
    public bool TryForward(Block block)
    {
        if (_blocked || _fault is not null)
            return false;
        Forward(block, 0);
        return true;
    }

    /// <summary>Takes what has waited, and ends with the source.</summary>
    public void GoOn()
    {
        while (!_blocked && _fault is null)
        {
            var (first, _) = source.Reader.Inbox.TakeAll();
            if (first is null)
                break;
            for (var next = first; next is { } block;)
            {
                next = block.NextBlock;
                Forward(block, 0);
            }
        }

        if (_fault is not null)
            Fail(_fault);
        else if (!_blocked && source.Reader.Inbox.Failure is { } failure)
            Fail(failure);
        else if (source.Reader.TakeCancel())
            Fail(new OperationCanceledException("The pending read was cancelled."));
        else if (!_blocked && source.Reader.Inbox.IsAtEnd)
            End();
    }

    /// <summary>The destination has room again.</summary>
    private void OnDrained()
    {
        _blocked = false;
        source.Loop.Ready(source);
    }

    public void Fail(Exception fault)
    {
        Leave();
        TrySetException(fault);
    }

    /// <summary>Its owner does not wait for it any more.</summary>
    public void Abandon()
    {
        Leave();
        TrySetResult();
    }

    private void End()
    {
        Leave();
        TrySetResult();
    }

    private void Leave()
    {
        _blocked = true;
        if (source.Reader.Inbox.Relay != this)
            return;
        source.Reader.Inbox.EndRelay();
        source.Reader.EndRelay();
    }

    private void Forward(Block block, int start)
    {
        source.Reader.CountRelayed(block.Filled - start);
        if (!destination.TryQueue(block, start))
        {
            _fault ??= destination.EndedError;
            source.Loop.Ready(source);
        }
        else if (!_blocked && destination.Queued > LoopWriter.HighWaterBytes)
        {
            _blocked = true;
            destination.Drained += OnDrained;
        }
    }
}
