using System.Threading.Tasks.Sources;

namespace Mortise.Transports.Loops;

/// <summary>
/// One wait, over and over: what <c>ManualResetValueTaskSourceCore</c> is, but for a loop. Completed on the
/// loop's thread, it goes on right there when that is the owner's home, so a message costs no hop and no allocation.
/// </summary>
internal struct LoopWait
{
    private static readonly Action<object?> Completed = static _ => { };

    private Action<object?>? _continuation;
    private object? _state;
    private short _version;

    /// <summary>The loop has taken note of the wait; only its thread looks at this.</summary>
    public bool IsWaiting;

    public short Begin()
    {
        _continuation = null;
        _state = null;
        return ++_version;
    }

    public readonly ValueTaskSourceStatus Status(short token) =>
        token != _version ? throw Misused()
        : ReferenceEquals(Volatile.Read(in _continuation), Completed) ? ValueTaskSourceStatus.Succeeded
        : ValueTaskSourceStatus.Pending;

    public void End(short token)
    {
        if (Status(token) != ValueTaskSourceStatus.Succeeded)
            throw Misused();
        _continuation = null;
        _state = null;
        _version++;
    }

    public void OnCompleted(LoopConnection connection, Action<object?> continuation, object? state,
        ValueTaskSourceOnCompletedFlags flags)
    {
        if ((flags & ValueTaskSourceOnCompletedFlags.FlowExecutionContext) != 0
            && ExecutionContext.Capture() is { } flow)
            (continuation, state) = (RunInFlow, Tuple.Create(flow, continuation, state));
        if ((flags & ValueTaskSourceOnCompletedFlags.UseSchedulingContext) != 0
            && SynchronizationContext.Current is { } context && context.GetType() != typeof(SynchronizationContext)
            && (context != connection.Loop.Context || !connection.RunsAtHome))
            (continuation, state) = (GoElsewhere, Tuple.Create(context, continuation, state));
        _state = state;
        if (connection.Loop.IsCurrent && _continuation is null)
            _continuation = continuation;
        else if (Interlocked.CompareExchange(ref _continuation, continuation, null) is { } other)
            Schedule(connection, ReferenceEquals(other, Completed) ? continuation : throw Misused());
    }

    /// <summary>On the loop's thread, at the end of a phase in which users' code may run.</summary>
    public void Complete(LoopConnection connection)
    {
        IsWaiting = false;
        // As a rule somebody awaits it already. Who does not yet may do so at this moment, on whatever thread.
        var continuation = Volatile.Read(ref _continuation)
            ?? Interlocked.CompareExchange(ref _continuation, Completed, null);
        if (continuation is null)
            return;
        Volatile.Write(ref _continuation, Completed);
        if (connection.RunsAtHome)
            continuation(_state);
        else
            Schedule(connection, continuation);
    }

    private readonly void Schedule(LoopConnection connection, Action<object?> continuation)
    {
        if (connection.RunsAtHome)
            connection.Loop.Post(static s => Call((Tuple<Action<object?>, object?>)s!),
                Tuple.Create(continuation, _state));
        else
            ThreadPool.UnsafeQueueUserWorkItem(continuation, _state, preferLocal: false);
    }

    private static void Call(Tuple<Action<object?>, object?> work) => work.Item1(work.Item2);

    private static void GoElsewhere(object? work)
    {
        var (context, continuation, state) = (Tuple<SynchronizationContext, Action<object?>, object?>)work!;
        context.Post(static s => Call((Tuple<Action<object?>, object?>)s!), Tuple.Create(continuation, state));
    }

    private static void RunInFlow(object? work)
    {
        var (flow, continuation, state) = (Tuple<ExecutionContext, Action<object?>, object?>)work!;
        ExecutionContext.Run(flow, s => continuation(s), state);
    }

    private static InvalidOperationException Misused() =>
        new("A pending read or flush was awaited twice, or after its end; a ValueTask is awaited once.");
}

/// <summary>
/// An async method of the library that waits, for code at home that awaits it: that goes on inline. Such a method by
/// itself would leave the loop (a task runs nothing inline under a context) or post to it. Kept by the loop's thread,
/// so that no wait allocates.
/// </summary>
internal sealed class HomeCall<T> : IValueTaskSource<T>, IValueTaskSource
{
    private const int KeptMax = 32;

    [ThreadStatic]
    private static HomeCall<T>? t_kept;

    private readonly Action _over;
    private LoopConnection _connection = null!;
    private ValueTask<T> _call;
    private ValueTask _plainCall;
    private LoopWait _wait;
    private HomeCall<T>? _next;
    private int _keptBehind;

    private HomeCall() => _over = Over;

    public static ValueTask<T> Follow(LoopConnection connection, ValueTask<T> call)
    {
        var home = Rent(connection, out var token);
        home._call = call;
        call.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(home._over);
        return new(home, token);
    }

    public static ValueTask Follow(LoopConnection connection, ValueTask call)
    {
        var home = Rent(connection, out var token);
        home._plainCall = call;
        call.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(home._over);
        return new(home, token);
    }

    public ValueTaskSourceStatus GetStatus(short token) => _wait.Status(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _wait.OnCompleted(_connection, continuation, state, flags);

    T IValueTaskSource<T>.GetResult(short token)
    {
        _wait.End(token);
        var call = _call;
        Return();
        return call.GetAwaiter().GetResult();
    }

    void IValueTaskSource.GetResult(short token)
    {
        _wait.End(token);
        var call = _plainCall;
        Return();
        call.GetAwaiter().GetResult();
    }

    private static HomeCall<T> Rent(LoopConnection connection, out short token)
    {
        var home = t_kept ?? new HomeCall<T>();
        t_kept = home._next;
        home._connection = connection;
        token = home._wait.Begin();
        return home;
    }

    private void Return()
    {
        (_call, _plainCall, _connection) = (default, default, null!);
        _keptBehind = t_kept is { } kept ? kept._keptBehind + 1 : 0;
        if (EventLoop.Current is null || _keptBehind == KeptMax)
            return;
        _next = t_kept;
        t_kept = this;
    }

    private void Over()
    {
        if (_connection.Loop.IsCurrent)
            _wait.Complete(_connection);
        else
            _connection.Loop.Post(static h => ((HomeCall<T>)h!).Over(), this);
    }
}
