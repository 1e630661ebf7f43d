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
    private static volatile bool s_drowsy;

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
                s_drowsy = false;
            else if (s_drowsy)
                Sleep();
            else
                Doze();
        }
    }

    /// <summary>For one more look: a loop that woke at this moment may not have seen that it should call.</summary>
    private static void Doze()
    {
        s_drowsy = true;
        EventLoop.CallWhenOneStirs(GoOn);
    }

    private static void Sleep()
    {
        s_timer!.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (!s_drowsy)
            s_timer.Change(Look, Look); // a loop called just before
    }

    /// <summary>On the loop that stirs: no lock, which a log may hold for long.</summary>
    private static void GoOn()
    {
        s_drowsy = false;
        s_timer!.Change(Look, Look);
    }

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
            var running = loop.Running;
            if (_told || elapsed < Patience || (running ?? loop.LastRun) is not { } connection)
                return;
            _told = true;
            var others = Math.Max(0, loop.Connections - 1);
            connection.Owner?.HomeBlocked(connection, certain: running is not null, loop.Name, others, elapsed);
        }
    }
}
