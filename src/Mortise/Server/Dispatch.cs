namespace Mortise;

/// <summary>Where a server's handlers run.</summary>
public enum Dispatch
{
    /// <summary>
    /// On the event loop of their connection, and every <c>await</c> comes back to it: the fast way, for code that does
    /// not block. One that blocks keeps all connections of its loop waiting; a warning names it within 200 ms. Where
    /// the engine has no loops (<see cref="EngineKind.Managed"/>, <c>mem:</c>) this is the thread pool.
    /// </summary>
    Loop,

    /// <summary>On the thread pool: for code that blocks or computes for long.</summary>
    ThreadPool,
}
