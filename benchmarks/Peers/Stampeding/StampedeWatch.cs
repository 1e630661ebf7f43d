using System.Collections.Concurrent;
using System.Diagnostics;

namespace Mortise.Peers.Stampeding;

/// <summary>
/// Knows when everybody moved last. Who does not for 5 s is named on standard error and ends the process: that is a
/// deadlock. It has a thread of its own, because a deadlock may take the pool with it.
/// </summary>
internal sealed class StampedeWatch
{
    private static readonly TimeSpan StuckAfter = TimeSpan.FromSeconds(5);

    private static int s_surprises;

    private readonly ConcurrentDictionary<string, (long At, string Doing)> _last = new();
    private volatile bool _stopped;

    static StampedeWatch() => TaskScheduler.UnobservedTaskException += (_, e) => Surprise(e.Exception);

    public StampedeWatch() => new Thread(Watch) { IsBackground = true, Name = "watchdog" }.Start();

    /// <summary>Exceptions that are no typed end, and those that nobody looked at.</summary>
    public static int Surprises => Volatile.Read(ref s_surprises);

    public static void Surprise(Exception exception)
    {
        Interlocked.Increment(ref s_surprises);
        Console.Error.WriteLine(exception);
    }

    public void Beat(string who, string doing) => _last[who] = (Stopwatch.GetTimestamp(), doing);

    public void Leave(string who) => _last.TryRemove(who, out _);

    public void Stop() => _stopped = true;

    private void Watch()
    {
        for (; !_stopped; Thread.Sleep(100))
        {
            foreach (var (who, last) in _last)
            {
                if (Stopwatch.GetElapsedTime(last.At) < StuckAfter || _stopped)
                    continue;
                Console.Error.WriteLine($"{who} has been {last.Doing} for more than {StuckAfter.TotalSeconds:F0} s");
                Environment.Exit(1);
            }
        }
    }
}
