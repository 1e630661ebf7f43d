using System.Diagnostics;
using Mortise.Transports.Loops;

namespace Mortise.Transports.Linux;

/// <summary>
/// Looks at the loops of this process every 50 ms, and tells the owner of the connection whose code has not come back
/// for 150 ms. The loops do nothing for it but count their turns; while all of them sleep it sleeps, too.
/// </summary>
internal static class LoopWatchdog
{
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(150);

    private static readonly List<Watched> Loops = [];
    private static Timer? s_timer;

    public static void Add(EventLoop loop)
    {
        lock (Loops)
        {
            Loops.Add(new Watched(loop));
            s_timer ??= new Timer(static _ => LookAtAll(), null, Look, Look);
        }
    }

    public static void Remove(EventLoop loop)
    {
        lock (Loops)
            Loops.RemoveAll(w => w.Loop == loop);
    }

    private static void LookAtAll()
    {
        lock (Loops)
        {
            var now = Stopwatch.GetTimestamp();
            foreach (var watched in Loops)
                watched.LookAt(now);
            if (Loops.Exists(w => w.Loop.IsBusy))
                return;
            s_timer!.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
            EventLoop.CallWhenOneStirs(GoOn);
            // One that woke just before has not called.
            if (Loops.Exists(w => w.Loop.IsBusy))
                GoOn();
        }
    }

    private static void GoOn() => s_timer!.Change(Look, Look);

    private sealed class Watched(EventLoop loop)
    {
        private long _turn = -1;
        private long _since;
        private bool _told;

        public EventLoop Loop => loop;

        public void LookAt(long now)
        {
            if (loop.Turns != _turn || !loop.IsBusy)
            {
                _turn = loop.Turns;
                _since = now;
                _told = false;
                loop.IsBlocked = false;
                return;
            }

            var elapsed = Stopwatch.GetElapsedTime(_since, now);
            loop.IsBlocked = elapsed >= Look;
            if (_told || elapsed < Patience || loop.Running is not { } connection)
                return;
            _told = true;
            connection.Owner?.HomeBlocked(connection, loop.Name, loop.Connections - 1, elapsed);
        }
    }
}
