namespace Mortise.Transports.Pipes;

/// <summary>Tasks that may fail when nobody waits for them any more: a cancelled wait leaves its task behind.</summary>
internal static class Unwaited
{
    /// <summary>The same task; its failure does not become an unobserved exception if the wait is given up.</summary>
    public static Task Unobserved(this Task task)
    {
        if (!task.IsCompleted)
            _ = task.ContinueWith(static t => _ = t.Exception, CancellationToken.None,
                TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously,
                TaskScheduler.Default);
        return task;
    }
}
