using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>What a run came to: connections accepted, and datagrams; null where it had no such socket.</summary>
internal sealed record ServeTotals(long? Accepted, DrainResult Drained, DatagramTotals? Datagrams);

/// <summary>Datagrams answered, dropped by the kernel (receive queue full), and lost on purpose.</summary>
internal sealed record DatagramTotals(long Answered, long Drops, long ChaosLost);

/// <summary>
/// What a server says. Standard output gets what scripts may read (it listens, with <c>-v</c> every connection, the
/// end); standard error gets notes and warnings. The library logs here too.
/// </summary>
internal abstract class ServeLog(ServeSettings settings, CancellationTokenSource outputClosed) : ILogger
{
    private const int FrameError = 9, AtLimit = 7;
    private static readonly TimeSpan RepeatedWarningPause = TimeSpan.FromSeconds(10);

    private readonly Dictionary<int, Framing> _frames = [];
    private long _limitWarnedAt, _lossWarnedAt;

    /// <summary>Once it is known who listens, a log that cannot be written costs lines, not the server.</summary>
    public bool MayLoseLines { get; set; }

    /// <summary>Held by whoever writes; lines never mix.</summary>
    public Lock Gate { get; } = new();

    /// <summary>True where every connection is told; the hot path has no callback otherwise.</summary>
    public virtual bool WantsConnections => settings.Verbose;

    /// <summary>True where what peers say is told too.</summary>
    public virtual bool WantsMessages => settings.Verbose;

    protected ServeSettings Settings => settings;

    public static ServeLog Create(Kind kind, ServeSettings settings, bool chinese,
        CancellationTokenSource outputClosed) =>
        settings.LogFormat switch
        {
            "json" => new JsonLog(settings, outputClosed),
            "seed" => new SeedLog(kind, settings, outputClosed),
            _ => new TextLog(kind, settings, chinese, outputClosed),
        };

    /// <summary>The listener of that number, from 0, has another rule than the rest.</summary>
    public void FramesAt(int listener, Framing framing) => _frames[listener] = framing;

    protected Framing? FramingOf(int listener) => _frames.GetValueOrDefault(listener) ?? Settings.Framing;

    /// <summary>Everything listens.</summary>
    public abstract void Started(IReadOnlyList<Listener> listeners, IReadOnlyList<DatagramSocket> datagrams,
        Endpoint? metrics);

    /// <summary>Which engine carries the streams, and why.</summary>
    public void Engines(IReadOnlyList<Listener> listeners)
    {
        foreach (var engine in listeners.Select(l => l.Engine).Distinct())
            if (!settings.Quiet)
                Note("engine " + engine);
    }

    public abstract void Accepted(Connection connection);

    public abstract void Received(Connection connection, ReadOnlySpan<byte> bytes);

    public abstract void Sent(Connection connection, ReadOnlySpan<byte> bytes);

    /// <summary>A datagram came; <paramref name="answered"/> = and its echo went.</summary>
    public abstract void Datagram(Endpoint from, ReadOnlySpan<byte> bytes, bool answered);

    /// <summary>A player's dialogue is over, though the connection is not yet.</summary>
    public virtual void SaidGoodbye(Connection connection)
    {
        // Only the first tutorial's program has a line for it.
    }

    public abstract void Closed(Connection connection);

    /// <summary>The drain begins.</summary>
    public virtual void Stopping(int connections, TimeSpan drain)
    {
        if (connections > 0 && !settings.Quiet)
            Note($"stopping: {connections} connection{(connections == 1 ? "" : "s")} may finish within "
                + $"{drain.TotalSeconds:0.###} s; Ctrl+C again aborts");
    }

    public abstract void Stopped(ServeTotals totals);

    /// <summary>A warning on stderr, whatever the format.</summary>
    public void Warn(string text)
    {
        lock (Gate)
            Console.Error.WriteLine("warning: " + text);
    }

    /// <summary>A remark on stderr.</summary>
    protected void Note(string text)
    {
        lock (Gate)
            Console.Error.WriteLine(text);
    }

    /// <summary>Notes about listeners that hold for every format.</summary>
    protected void NoteListener(Listener listener)
    {
        if (settings.Quiet)
            return;
        foreach (var note in listener.Notes)
            Note("note: " + note);
        if (settings.BacklogAsked is { } asked && asked != listener.Backlog)
            Note($"note: --backlog {asked} is clamped to {listener.Backlog}"
                + (asked > listener.Backlog ? " by the kernel (net.core.somaxconn)" : ": it cannot be negative"));
    }

    protected void NoteSocket(DatagramSocket socket)
    {
        foreach (var note in settings.Quiet ? [] : socket.Notes)
            Note("note: " + note);
    }

    /// <summary>One line on stdout. Where nobody reads it any more the server stops, quietly.</summary>
    protected void Line(string text)
    {
        try
        {
            lock (Gate)
                Console.WriteLine(text);
        }
        catch (ClosedOutputException)
        {
            outputClosed.Cancel();
        }
        catch (IOException e) when (MayLoseLines)
        {
            if (IsTimeToWarn(ref _lossWarnedAt))
                Warn($"standard output cannot be written, the log loses lines: {TerminalText.Escape(e.Message)}");
        }
    }

    /// <summary>Bytes that broke the rule; the port goes on.</summary>
    protected virtual void BadFrame(string connection, string peer, string reason, string detail) =>
        Warn($"#{connection} {peer} framing error: {detail} ({reason}); the connection is closed");

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter)
    {
        if (!IsEnabled(logLevel) || eventId.Id == AtLimit && !IsTimeToWarn(ref _limitWarnedAt))
            return;
        if (eventId.Id == FrameError && state is IReadOnlyList<KeyValuePair<string, object?>> values)
        {
            string Of(string name) =>
                TerminalText.Escape(values.FirstOrDefault(v => v.Key == name).Value?.ToString() ?? "");
            BadFrame(Of("Connection"), Of("Peer"), Of("Reason"), Of("Detail"));
            return;
        }

        Warn(TerminalText.Escape(formatter(state, exception)));
        if (exception is not null && (settings.Verbose || logLevel >= LogLevel.Error))
            Note(settings.Verbose ? exception.ToString() : TerminalText.Escape("  " + exception.Message));
    }

    /// <summary>The same for people, or nothing.</summary>
    public static string BuffersInForce(Connection connection) =>
        Buffers(connection) is { } buffers ? $" (sndbuf {buffers.Send} B, rcvbuf {buffers.Receive} B)" : "";

    /// <summary>The buffers in force, or null where there is no kernel socket or it is gone.</summary>
    protected static (int Send, int Receive)? Buffers(Connection connection)
    {
        try
        {
            return connection.GetSocketBuffers();
        }
        catch (Exception e) when (e is MortiseException or SocketException or ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>What is true of every connection is said once in a while; that is enough to read.</summary>
    private static bool IsTimeToWarn(ref long warnedAt)
    {
        var now = Environment.TickCount64;
        var last = Volatile.Read(ref warnedAt);
        return (last == 0 || now - last >= RepeatedWarningPause.TotalMilliseconds)
            && Interlocked.CompareExchange(ref warnedAt, now, last) == last;
    }
}
