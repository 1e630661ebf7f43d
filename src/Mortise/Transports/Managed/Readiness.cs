using System.Net.Sockets;
using System.Threading.Tasks.Sources;

namespace Mortise.Transports.Managed;

/// <summary>
/// Waits until a socket is readable, without a buffer (a zero-byte receive), and without allocating per wait. The wait
/// can be woken early; the kernel's operation then stays armed and serves the next wait.
/// </summary>
internal sealed class Readiness(Socket socket)
    : SocketAsyncEventArgs(true), IValueTaskSource
{
    private const int Idle = 0;      // no operation pending
    private const int Armed = 1;     // pending, nobody waits
    private const int Waiting = 2;   // pending, and one waiter
    private const int Fired = 3;     // completed while nobody waited

    private ManualResetValueTaskSourceCore<bool> _core;
    private int _state;
    private int _wakeRequested;

    public ValueTask WaitAsync()
    {
        if (Interlocked.Exchange(ref _wakeRequested, 0) == 1)
            return default;
        _core.Reset();
        switch (Interlocked.CompareExchange(ref _state, Waiting, Idle))
        {
            case Idle when !socket.ReceiveAsync(this):
                // Completed at once. A wake may have taken the waiter meanwhile; then the completion serves the next.
                if (Interlocked.CompareExchange(ref _state, Idle, Waiting) == Waiting)
                    return Outcome();
                Volatile.Write(ref _state, Fired);
                break;
            case Armed when Interlocked.CompareExchange(ref _state, Waiting, Armed) != Armed:
            case Fired:
                Volatile.Write(ref _state, Idle);
                return Outcome();
            case Waiting:
                throw new InvalidOperationException("Two readers wait on one connection; a pipe has one reader.");
        }

        if (Volatile.Read(ref _wakeRequested) == 1)
            Wake();
        return new ValueTask(this, _core.Version);
    }

    public void Wake()
    {
        Volatile.Write(ref _wakeRequested, 1);
        if (Interlocked.CompareExchange(ref _state, Armed, Waiting) != Waiting)
            return;
        // An exchange, not a write: who wakes at the same moment and finds nobody waiting is served by this wake, and
        // the reader must see what it wrote before.
        Interlocked.Exchange(ref _wakeRequested, 0);
        // Not on this stack: who aborts, cancels or looks after timeouts must not run the reader's handler.
        ThreadPool.UnsafeQueueUserWorkItem(static r => r._core.SetResult(true), this, preferLocal: false);
    }

    protected override void OnCompleted(SocketAsyncEventArgs e)
    {
        while (true)
        {
            var state = Volatile.Read(ref _state);
            if (state == Waiting && Interlocked.CompareExchange(ref _state, Idle, Waiting) == Waiting)
            {
                if (SocketError == SocketError.Success)
                    _core.SetResult(true);
                else
                    _core.SetException(new SocketException((int)SocketError));
                return;
            }

            if (state != Waiting && Interlocked.CompareExchange(ref _state, Fired, Armed) == Armed)
                return;
        }
    }

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token,
        ValueTaskSourceOnCompletedFlags flags) => _core.OnCompleted(continuation, state, token, flags);

    private ValueTask Outcome() => SocketError == SocketError.Success
        ? default
        : ValueTask.FromException(new SocketException((int)SocketError));
}
