using System.IO.Pipelines;

namespace Mortise.Transports.Pipes;

/// <summary>Waits that may be given up while the work goes on: its failure then belongs to nobody.</summary>
internal static class Unwaited
{
    /// <summary>Waits until the end or the cancellation.</summary>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task WaitOrLeaveAsync(this Task task, CancellationToken cancellationToken) =>
        task.WaitOrLeaveAsync(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken);

    /// <summary>A flush whose wait can be cancelled while the sending goes on.</summary>
    public static async ValueTask<FlushResult> FlushedOrLeaveAsync(this Task sending,
        CancellationToken cancellationToken)
    {
        await sending.WaitOrLeaveAsync(cancellationToken).ConfigureAwait(false);
        return default;
    }

    /// <summary>
    /// Waits so long and no longer. A continuation that watches over the abandoned task is attached only then: a task
    /// with two continuations moves one of them to the thread pool, and a replay would no longer be one.
    /// </summary>
    /// <exception cref="TimeoutException">The time was over.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static async Task WaitOrLeaveAsync(this Task task, TimeSpan timeout, TimeProvider time,
        CancellationToken cancellationToken = default)
    {
        try
        {
            await task.WaitAsync(timeout, time, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (!task.IsCompleted)
        {
            _ = task.ContinueWith(static t => _ = t.Exception, CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
            throw;
        }
    }
}
