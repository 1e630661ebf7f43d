using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// One thread, one <see cref="Poller"/>, and the connections that live there. A turn waits for the kernel's news, runs
/// the code that they wake, runs what other threads posted, and hands all bytes written meanwhile to the kernel
/// together. Nothing of a connection is locked, because nothing of it is touched elsewhere.
/// </summary>
internal sealed class EventLoop
{
    /// <summary>Enough for a turn of a busy loop; what it needs beyond comes from the shared pool.</summary>
    private const int BlocksKept = 256;

    [ThreadStatic]
    private static EventLoop? t_current;

    private static Action? s_onStir;

    private readonly ConcurrentQueue<(SendOrPostCallback Work, object? State)> _posts = new();
    private readonly Thread _thread;
    private Poller _poller = null!;
    private LoopConnection? _firstReady;
    private LoopConnection? _lastReady;
    private LoopConnection? _firstToSend;
    private LoopConnection? _lastToSend;
    private int _awake = 1;
    private volatile bool _stopping;
    private int _connections;
    private long _turns;

    /// <summary>Starts the thread, and returns when its poller is ready.</summary>
    /// <param name="name">Of the thread, as a debugger and <c>ps -L</c> show it.</param>
    /// <param name="makePoller">Runs on the new thread: a ring belongs to the thread that made it.</param>
    /// <exception cref="MortiseException">The poller could not be made.</exception>
    public EventLoop(string name, Func<Poller> makePoller)
    {
        Context = new LoopContext(this);
        using var ready = new ManualResetEventSlim();
        ExceptionDispatchInfo? failure = null;
        _thread = new Thread(() =>
        {
            try
            {
                _poller = makePoller();
            }
            catch (Exception e)
            {
                failure = ExceptionDispatchInfo.Capture(e);
            }

            ready.Set();
            if (failure is null)
                Run();
        })
        { Name = name, IsBackground = true };
        _thread.UnsafeStart();
        ready.Wait();
        failure?.Throw();
    }

    /// <summary>The next loop that wakes calls this, once: who watches over loops can sleep while all of them
    /// do.</summary>
    public static void CallWhenOneStirs(Action action) => Interlocked.Exchange(ref s_onStir, action);

    /// <summary>The loop whose thread this is, or null.</summary>
    public static EventLoop? Current => t_current;

    public bool IsCurrent => t_current == this;

    public string Name => _thread.Name!;

    /// <summary>Brings awaits back here.</summary>
    public LoopContext Context { get; }

    /// <summary>For its connections and watches, on this thread.</summary>
    public Poller Poller => _poller;

    /// <summary>Connections that live here or are on their way.</summary>
    public int Connections => Volatile.Read(ref _connections);

    /// <summary>Counts up with each turn: who sees it stand still while <see cref="IsBusy"/> sees a blocked
    /// loop.</summary>
    public long Turns => Volatile.Read(ref _turns);

    /// <summary>Not waiting for the kernel.</summary>
    public bool IsBusy => Volatile.Read(ref _awake) == 1;

    /// <summary>The watchdog's finding: it has not turned for a while, so nobody should be sent here.</summary>
    public bool IsBlocked { get; set; }

    /// <summary>Whose code runs now, for the watchdog; null between connections.</summary>
    public LoopConnection? Running { get; private set; }

    /// <summary>Whose code ran last: code that comes back from an await of something else does not say whose it
    /// is.</summary>
    public LoopConnection? LastRun { get; private set; }

    /// <summary>Runs work on the loop's thread, soon and in order; from any thread. A sleeping loop is woken once for
    /// all that is posted before it looks.</summary>
    public void Post(SendOrPostCallback work, object? state)
    {
        _posts.Enqueue((work, state));
        if (t_current != this && Interlocked.Exchange(ref _awake, 1) == 0)
            _poller.Wake();
    }

    /// <summary><c>await loop.Enter()</c> goes on on the loop's thread, at once if it is this one.</summary>
    public LoopEntry Enter() => new(this);

    /// <summary>Ends the thread after this turn and waits for it; connections and watches must be gone.</summary>
    public void Stop()
    {
        _stopping = true;
        Post(static _ => { }, null);
        if (!IsCurrent)
            _thread.Join();
    }

    /// <summary>Runs a connection's code here and now; the watchdog then knows whose it is.</summary>
    public void Run(LoopConnection connection, Action<Connection> serve)
    {
        Running = LastRun = connection;
        serve(connection);
        Running = null;
    }

    public void Count(int connections) => Interlocked.Add(ref _connections, connections);

    /// <summary>The connection's code has something to go on with; it runs in this turn.</summary>
    public void Ready(LoopConnection connection)
    {
        if (connection.IsReady)
            return;
        connection.IsReady = true;
        if (_lastReady is null)
            _firstReady = connection;
        else
            _lastReady.NextReady = connection;
        _lastReady = connection;
    }

    /// <summary>The connection's writer has bytes for the kernel; they leave at the end of this turn.</summary>
    public void ToSend(LoopConnection connection)
    {
        if (connection.IsToSend)
            return;
        connection.IsToSend = true;
        if (_lastToSend is null)
            _firstToSend = connection;
        else
            _lastToSend.NextToSend = connection;
        _lastToSend = connection;
    }

    private void Run()
    {
        t_current = this;
        SynchronizationContext.SetSynchronizationContext(Context);
        BlockPool.Shared.Adopt(BlocksKept, Post);

        while (!_stopping)
            Turn();
        _poller.Dispose();
    }

    /// <summary>A method of its own, so that the runtime may replace it by a faster version between turns.</summary>
    private void Turn()
    {
        _poller.Wait(MayBlock());
        Volatile.Write(ref _awake, 1);
        if (s_onStir is not null)
            Interlocked.Exchange(ref s_onStir, null)?.Invoke();
        Volatile.Write(ref _turns, _turns + 1);
        RunReady();
        RunPosts();
        Send();
    }

    /// <summary>
    /// Says "asleep" before the last look at the posts: who posts after that look wakes the loop, who posted before is
    /// seen.
    /// </summary>
    private bool MayBlock()
    {
        if (_firstReady is not null || _firstToSend is not null)
            return false;
        Volatile.Write(ref _awake, 0);
        Interlocked.MemoryBarrier();
        return _posts.IsEmpty;
    }

    private void RunReady()
    {
        var next = _firstReady;
        _firstReady = _lastReady = null;
        while (next is { } connection)
        {
            next = connection.NextReady;
            connection.NextReady = null;
            connection.IsReady = false;
            Running = LastRun = connection;
            connection.RunReady();
        }

        Running = null;
    }

    /// <summary>Only what was there at the start: work that posts itself again must not keep the kernel.</summary>
    private void RunPosts()
    {
        if (_posts.IsEmpty)
            return;
        for (var left = _posts.Count; left > 0 && _posts.TryDequeue(out var post); left--)
        {
            try
            {
                post.Work(post.State);
            }
            catch (Exception e)
            {
                // As everywhere in .NET, an exception that nobody awaits ends the process, not this loop in silence.
                var unhandled = ExceptionDispatchInfo.Capture(e);
                ThreadPool.UnsafeQueueUserWorkItem(static u => u.Throw(), unhandled, preferLocal: false);
            }
        }
    }

    private void Send()
    {
        var next = _firstToSend;
        _firstToSend = _lastToSend = null;
        while (next is { } connection)
        {
            next = connection.NextToSend;
            connection.NextToSend = null;
            connection.IsToSend = false;
            connection.Send(_poller);
        }
    }
}

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
