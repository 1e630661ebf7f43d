using System.IO.Pipelines;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// Flushes that wait until so many bytes in all have gone. The handler's own is waited for without an allocation; made
/// only for a connection whose peer once was slower than its writer.
/// </summary>
internal sealed class FlushWaits
{
    private List<(long Position, TaskCompletionSource<FlushResult> Gone)>? _others; // only while somebody waits
    private long _position;
    private Exception? _fault;
    private bool _ownIsTaken;

    /// <summary>The wait of the connection's own handler.</summary>
    public LoopWait Own;

    public bool TryBeginOwn(long position, bool cannotBeCancelled, out short token)
    {
        token = 0;
        // Until its result was fetched it is somebody's, also when it is over.
        if (Volatile.Read(ref _ownIsTaken) || !cannotBeCancelled)
            return false;
        _ownIsTaken = true;
        _position = position;
        token = Own.Begin();
        Own.IsWaiting = true;
        return true;
    }

    public FlushResult Result(short token)
    {
        Own.End(token);
        Volatile.Write(ref _ownIsTaken, false);
        return _fault is null ? default : throw _fault;
    }

    /// <summary>Whoever waits besides the handler, or may be cancelled.</summary>
    public TaskCompletionSource<FlushResult> Join(long position, TaskCompletionSource<FlushResult> gone)
    {
        (_others ??= []).Add((position, gone));
        return gone;
    }

    /// <summary>Who gives up is forgotten at once, however long the bytes stay.</summary>
    public static ValueTask<FlushResult> UntilAsync(LoopWriter writer, TaskCompletionSource<FlushResult> gone,
        CancellationToken cancellationToken) =>
        cancellationToken.CanBeCanceled ? UntilGivenUpAsync(writer, gone, cancellationToken) : new(gone.Task);

    private static async ValueTask<FlushResult> UntilGivenUpAsync(LoopWriter writer,
        TaskCompletionSource<FlushResult> gone, CancellationToken cancellationToken)
    {
        try
        {
            await gone.Task.WaitOrLeaveAsync(cancellationToken).ConfigureAwait(false);
            return default;
        }
        catch (OperationCanceledException) when (gone.TrySetCanceled(CancellationToken.None))
        {
            writer.Loop.Post(static s =>
            {
                var (writer, gone) = (Tuple<LoopWriter, TaskCompletionSource<FlushResult>>)s!;
                writer.Forget(gone);
            }, Tuple.Create(writer, gone));
            throw;
        }
    }

    public void Forget(TaskCompletionSource<FlushResult> gone)
    {
        if (_others?.RemoveAll(o => o.Gone == gone) > 0 && _others.Count == 0)
            _others = null;
    }

    public bool IsDue(long sent) => Own.IsWaiting && _position <= sent || _others is not null && OthersAreDue(sent);

    public void Complete(LoopConnection connection, long sent)
    {
        if (_others is not null)
            CompleteOthers(_others, sent);
        if (Own.IsWaiting && _position <= sent)
            Own.Complete(connection);
    }

    // By themselves, for their closures cost an object for each call.

    private bool OthersAreDue(long sent) => _others!.Exists(o => o.Position <= sent);

    private void CompleteOthers(List<(long Position, TaskCompletionSource<FlushResult> Gone)> others, long sent)
    {
        var due = others.FindAll(o => o.Position <= sent);
        others.RemoveAll(o => o.Position <= sent);
        if (others.Count == 0)
            _others = null;
        due.ForEach(o => o.Gone.TrySetResult(default));
    }

    public void Fail(LoopConnection connection, Exception fault, bool alsoOwn)
    {
        var others = _others ?? [];
        _others = null;
        foreach (var (_, gone) in others)
        {
            gone.TrySetException(fault);
            // Who gave up waiting does not look at it any more; it must not come back as an unobserved exception.
            _ = gone.Task.Exception;
        }

        if (!Own.IsWaiting || !alsoOwn)
            return;
        _fault = fault;
        Own.Complete(connection);
    }

    /// <summary>How many wait besides the handler.</summary>
    public int Others => _others?.Count ?? 0;
}
