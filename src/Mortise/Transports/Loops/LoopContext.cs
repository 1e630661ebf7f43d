using System.Runtime.CompilerServices;

namespace Mortise.Transports.Loops;

/// <summary>What brings an <c>await</c> of anything (a delay, a query, a file) back to the connection's loop.</summary>
internal sealed class LoopContext(EventLoop loop) : SynchronizationContext
{
    public EventLoop Loop => loop;

    public override void Post(SendOrPostCallback d, object? state) => loop.Post(d, state);

    public override void Send(SendOrPostCallback d, object? state)
    {
        if (!loop.IsCurrent)
            throw new NotSupportedException("Waiting for an event loop can deadlock it; use Post.");
        d(state);
    }

    public override SynchronizationContext CreateCopy() => this;
}

/// <summary>The awaitable of <see cref="EventLoop.Enter"/>.</summary>
internal readonly struct LoopEntry(EventLoop loop) : ICriticalNotifyCompletion
{
    public bool IsCompleted => loop.IsCurrent;

    public LoopEntry GetAwaiter() => this;

    public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

    public void UnsafeOnCompleted(Action continuation) => loop.Post(static c => ((Action)c!)(), continuation);

    public void GetResult()
    {
    }
}
