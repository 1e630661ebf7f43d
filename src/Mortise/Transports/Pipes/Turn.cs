namespace Mortise.Transports.Pipes;

/// <summary>
/// Senders that wait for the same bytes to go. Each has a task of its own: of several continuations of one task the
/// runtime moves all but one to the thread pool, which a single-threaded network must not.
/// </summary>
/// <remarks>Waiters join under the writer's gate; it ends once, after the writer has let go of it.</remarks>
internal sealed class Turn(TaskCreationOptions continuations)
{
    private readonly List<TaskCompletionSource> _waiters = [];

    public Task JoinAsync()
    {
        var waiter = new TaskCompletionSource(continuations);
        _waiters.Add(waiter);
        return waiter.Task;
    }

    public void End()
    {
        foreach (var waiter in _waiters)
            waiter.TrySetResult();
    }

    public void Fail(Exception fault)
    {
        foreach (var waiter in _waiters)
        {
            waiter.TrySetException(fault);
            // Who gave up waiting does not look at it any more; it must not come back as an unobserved exception.
            _ = waiter.Task.Exception;
        }
    }
}
