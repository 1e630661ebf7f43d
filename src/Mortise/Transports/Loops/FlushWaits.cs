using System.IO.Pipelines;
using System.Threading.Tasks.Sources;

namespace Mortise.Transports.Loops;

/// <summary>Flushes of one connection that wait until so many bytes in all have gone.</summary>
/// <remarks>The loop's thread only. A part of its writer, never copied.</remarks>
internal struct FlushWaits
{
    private OwnFlush? _own;         // once the peer was slower than its handler
    private PendingFlush? _others;  // the newest first

    /// <summary>How many wait besides the handler.</summary>
    public readonly int Others
    {
        get
        {
            var count = 0;
            for (var flush = _others; flush is not null; flush = flush.Next)
                count++;
            return count;
        }
    }

    public ValueTask<FlushResult> UntilAsync(long position, LoopWriter writer, LoopConnection connection,
        CancellationToken cancellationToken)
    {
        if (connection.IsOwn(cancellationToken) && (_own ??= new(connection)).TryBegin(position, out var own))
            return own;
        var flush = PendingFlush.Rent(writer);
        Add(flush, position);
        return flush.UntilGivenUp(cancellationToken).Result;
    }

    public void Add(PendingFlush flush, long position)
    {
        (flush.Position, flush.Next) = (position, _others);
        _others = flush;
    }

    public void Forget(PendingFlush gone)
    {
        ref var link = ref _others;
        while (link is { } flush && flush != gone)
            link = ref flush.Next;
        if (link is not null)
            link = gone.Next;
    }

    public readonly bool IsDue(long sent)
    {
        if (_own?.IsDue(sent) == true)
            return true;
        for (var flush = _others; flush is not null; flush = flush.Next)
            if (flush.Position <= sent)
                return true;
        return false;
    }

    /// <summary>Those that waited for no more than so many bytes are over, the oldest first.</summary>
    public void Complete(long sent)
    {
        if (_others is not null)
            CompleteOthers(sent, null);
        _own?.Complete(sent);
    }

    public void Fail(Exception fault)
    {
        CompleteOthers(long.MaxValue, fault);
        _own?.Complete(long.MaxValue, fault);
    }

    private void CompleteOthers(long sent, Exception? fault)
    {
        PendingFlush? due = null;
        ref var link = ref _others;
        while (link is { } flush)
        {
            if (flush.Position > sent)
            {
                link = ref flush.Next;
                continue;
            }

            link = flush.Next;
            flush.Next = due;
            due = flush;
        }

        while (due is { } flush)
        {
            due = flush.Next;
            flush.Complete(fault);
        }
    }
}

/// <summary>The flush of a connection's own handler, which goes on inline.</summary>
internal sealed class OwnFlush(LoopConnection connection) : IValueTaskSource<FlushResult>
{
    private LoopWait _wait;
    private long _position;
    private Exception? _fault;
    private bool _isTaken;

    public bool TryBegin(long position, out ValueTask<FlushResult> result)
    {
        result = default;
        // Until its result was fetched it is somebody's, also when it is over.
        if (Volatile.Read(ref _isTaken))
            return false;
        _isTaken = true;
        _position = position;
        result = new(this, _wait.Begin());
        _wait.IsWaiting = true;
        return true;
    }

    public bool IsDue(long sent) => _wait.IsWaiting && _position <= sent;

    public void Complete(long sent, Exception? fault = null)
    {
        if (!IsDue(sent))
            return;
        _fault = fault;
        _wait.Complete(connection);
    }

    public FlushResult GetResult(short token)
    {
        _wait.End(token);
        Volatile.Write(ref _isTaken, false);
        return _fault is null ? default : throw _fault;
    }

    public ValueTaskSourceStatus GetStatus(short token) => _wait.Status(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _wait.OnCompleted(connection, continuation, state, flags);
}

/// <summary>
/// A flush of another thread, or one that may be given up: the work that is posted, the place in the row of those that
/// wait, and what the caller awaits, in one object. Threads keep those that are over: a flush allocates nothing.
/// </summary>
/// <remarks>The loop and a cancellation may end it, and the first does. Whom a cancellation ended the loop may still
/// come to, so that one is not used again.</remarks>
internal sealed class PendingFlush : IValueTaskSource<FlushResult>, IValueTaskSource
{
    private const int KeptMax = 256;

    [ThreadStatic]
    private static PendingFlush? t_kept;

    [ThreadStatic]
    private static int t_keptCount;

    /// <summary>The row's own.</summary>
    public PendingFlush? Next;

    /// <summary>The row's own: so many bytes in all must have gone.</summary>
    public long Position;

    private ManualResetValueTaskSourceCore<FlushResult> _end = new() { RunContinuationsAsynchronously = true };
    private CancellationTokenRegistration _patience;
    private bool _isGivenUp;
    private int _isOver;

    private PendingFlush()
    {
    }

    public LoopWriter Writer { get; private set; } = null!;

    public bool IsOver => Volatile.Read(ref _isOver) == 1;

    public ValueTask<FlushResult> Result => new(this, _end.Version);

    public ValueTask End => new(this, _end.Version);

    public static PendingFlush Rent(LoopWriter writer)
    {
        var flush = t_kept;
        if (flush is null)
            return new() { Writer = writer };
        (t_kept, flush.Next) = (flush.Next, null);
        t_keptCount--;
        flush.Writer = writer;
        return flush;
    }

    /// <summary>Who gives up is forgotten at once, however long the bytes stay.</summary>
    public PendingFlush UntilGivenUp(CancellationToken cancellationToken)
    {
        if (cancellationToken.CanBeCanceled)
            _patience = cancellationToken.UnsafeRegister(static (f, t) => ((PendingFlush)f!).GiveUp(t), this);
        return this;
    }

    /// <summary>After this call it may be another's already.</summary>
    public void Complete(Exception? fault = null)
    {
        if (Interlocked.Exchange(ref _isOver, 1) == 1)
            return;
        if (fault is null)
            _end.SetResult(default);
        else
            _end.SetException(fault);
    }

    public ValueTaskSourceStatus GetStatus(short token) => _end.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _end.OnCompleted(continuation, state, token, flags);

    public FlushResult GetResult(short token)
    {
        var end = _end;
        if (end.GetStatus(token) != ValueTaskSourceStatus.Pending)
            Return();
        return end.GetResult(token);
    }

    void IValueTaskSource.GetResult(short token) => GetResult(token);

    private void GiveUp(CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _isOver, 1) == 1)
            return;
        _isGivenUp = true;
        Writer.Loop.Post(static f => ((PendingFlush)f!).Writer.Forget((PendingFlush)f), this);
        _end.SetException(new OperationCanceledException(cancellationToken));
    }

    private void Return()
    {
        _patience.Dispose(); // a cancellation that comes too late has been there now
        _end.Reset();
        if (_isGivenUp || t_keptCount == KeptMax)
            return;
        (Writer, _patience, _isOver) = (null!, default, 0);
        Next = t_kept;
        t_kept = this;
        t_keptCount++;
    }
}
