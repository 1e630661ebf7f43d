using System.Buffers;
using Mortise.Server;
using Mortise.Telemetry;

namespace Mortise.Sessions.Groups;

/// <summary>What became of a message for one member.</summary>
internal enum Outcome
{
    Queued,
    Dropped,

    /// <summary>There is no room yet, and the policy is to wait.</summary>
    Full,
}

/// <summary>
/// A session as groups see it: where it belongs, and what happens when its peer reads slower than others talk.
/// </summary>
/// <remarks>
/// A member is slow from the first message that finds no room until everything that waited then has gone. In between
/// it has an <see cref="Outbox"/>; when it goes on it is told first what it missed, at the place of the gap.
/// </remarks>
internal sealed class Member
{
    /// <summary>Messages can be dropped as long as they are not in the connection's own queue.</summary>
    private const long DirectBytesMax = 64 * 1024;

    /// <summary>From here on a call of the kernel's is cheaper than a copy.</summary>
    private const int UncopiedBytesMin = 8 * 1024;

    private readonly GroupRegistry _registry;
    private readonly List<Room> _rooms = [];
    private readonly Lock _gate = new();
    private volatile Outbox? _outbox;
    private volatile bool _left;
    private long _untold;
    private long _missed;
    private int _watched;
    private Task _lastWait = Task.CompletedTask;
    private int _waits;

    public Member(GroupRegistry registry, Connection connection, object codec, object session)
    {
        _registry = registry;
        Connection = connection;
        Codec = codec;
        Session = session;
        Lane = registry.LaneOf(connection);
    }

    public long Id => Connection.Id;

    public Connection Connection { get; }

    public object Codec { get; }

    /// <summary>The typed session, for those who know its type.</summary>
    public object Session { get; }

    public Lane Lane { get; }

    public GroupRegistry Registry => _registry;

    public long QueueBytesMax { get; set; }

    /// <summary>Broadcasts that this member did not get.</summary>
    public long Missed => Interlocked.Read(ref _missed);

    /// <summary>Called at home when the member goes on, with how many it missed since the last time.</summary>
    public Action<long>? OnMissed { get; set; }

    /// <summary>A broadcast now would not reach it.</summary>
    public bool IsDropping => _left || _outbox is not null && Policy != SlowReaders.DropOldest;

    private SlowReaders Policy => _registry.Server.Options.SlowReaders;

    private bool IsOver => Connection.CloseReason is not null || Connection.IsClosing;

    /// <exception cref="GroupLimitException">It is in too many groups, or the server has too many.</exception>
    public bool Join(RoomKey key)
    {
        // Outside the gate: where the end has come already, leaving happens here and now.
        if (Interlocked.Exchange(ref _watched, 1) == 0)
            Connection.Closed.UnsafeRegister(static m => ((Member)m!).LeaveAll(), this);
        lock (_gate)
        {
            if (_left || IsOver || _registry.Find(key)?.Contains(this) == true)
                return false;
            if (_rooms.Count >= GroupRegistry.GroupsPerSession)
                throw GroupRegistry.TooMany(key.Name, $"a session is in at most {GroupRegistry.GroupsPerSession}");
            _rooms.Add(_registry.Add(key, this));
            return true;
        }
    }

    public bool Leave(RoomKey key)
    {
        lock (_gate)
        {
            var at = _rooms.FindIndex(r => r.Key == key);
            if (at < 0)
                return false;
            _registry.Remove(_rooms[at], this);
            _rooms.RemoveAt(at);
            return true;
        }
    }

    /// <summary>The session is over: it leaves for good.</summary>
    public void LeaveAll()
    {
        lock (_gate)
        {
            _left = true;
            foreach (var room in _rooms)
                _registry.Remove(room, this);
            _rooms.Clear();
            DropOutbox();
        }
    }

    /// <summary>Writes, holds or drops a message; it does not throw. Where the connection lives, or anywhere.</summary>
    public Outcome Deliver(byte[] message, bool mayWait)
    {
        if (_left || IsOver)
            return Outcome.Dropped;
        if (_outbox is null && Volatile.Read(ref _waits) == 0)
        {
            TellMissed(); // of a loop that did not turn
            if (HasRoom(message.Length))
                return Write(message);
            if (Policy == SlowReaders.Disconnect)
                return Disconnect();
        }

        return Policy == SlowReaders.Wait && mayWait ? Outcome.Full : Hold(message);
    }

    /// <summary>
    /// Waits for room, and then writes; false when the connection ended first. Each waits for the one before it, and
    /// while any waits nothing else finds room: so they keep their order.
    /// </summary>
    public Task<bool> DeliverWaitingAsync(byte[] message)
    {
        lock (_gate)
        {
            Interlocked.Increment(ref _waits);
            var written = WriteAfterAsync(_lastWait, message);
            _lastWait = written;
            return written;
        }
    }

    private async Task<bool> WriteAfterAsync(Task before, byte[] message)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            await GoneAsync().ConfigureAwait(false);
            return !_left && !IsOver && Write(message) == Outcome.Queued;
        }
        finally
        {
            Interlocked.Decrement(ref _waits);
        }
    }

    /// <summary>A message will not come to it, for no fault of its own.</summary>
    public void Miss() => Miss(1, DropReason.Backlog);

    /// <summary>One message may be longer than the queue.</summary>
    private bool HasRoom(int bytes)
    {
        var queued = Connection.BytesQueued;
        var most = Policy == SlowReaders.DropOldest ? Math.Min(DirectBytesMax, QueueBytesMax / 2) : QueueBytesMax;
        return queued == 0 || queued + bytes <= most;
    }

    private Outcome Write(byte[] message)
    {
        try
        {
            Connection.BeginMessage();
            try
            {
                if (message.Length >= UncopiedBytesMin && Connection.Output is Framing.IGatheringOutput gathering)
                    gathering.Write([], message, []);
                else
                    Connection.Output.Write(message);
            }
            finally
            {
                Connection.EndMessage();
            }

            Connection.FlushSoon();
            return Outcome.Queued;
        }
        catch (ConnectionException)
        {
            return Outcome.Dropped; // it ended meanwhile, and leaves its groups by itself
        }
    }

    private Outcome Disconnect()
    {
        Miss(1, DropReason.SlowReader);
        ServerLog.SlowReader(_registry.Server.Options.Log, Id, Connection.RemoteEndpoint.ToString(),
            Connection.BytesQueued, "closed (slow_reader)");
        Connection.AbortFor(CloseReason.SlowReader);
        LeaveAll();
        return Outcome.Dropped;
    }

    private Outcome Hold(byte[] message)
    {
        bool begins;
        int dropped;
        lock (_gate)
        {
            if (_left)
                return Outcome.Dropped;
            begins = _outbox is null;
            var outbox = _outbox ??= new Outbox();
            var before = outbox.Bytes;
            dropped = Policy == SlowReaders.DropOldest
                ? outbox.Add(message, QueueBytesMax - Connection.BytesQueued) : 1;
            _registry.Server.Counters.Add(Metrics.SendQueueBytes, outbox.Bytes - before);
        }

        if (dropped > 0)
            Miss(dropped, DropReason.SlowReader);
        if (begins)
        {
            ServerLog.SlowReader(_registry.Server.Options.Log, Id, Connection.RemoteEndpoint.ToString(),
                Connection.BytesQueued, Policy == SlowReaders.DropOldest ? "drop_oldest" : "drop_newest");
            WaitForRoom();
        }

        return Policy == SlowReaders.DropOldest ? Outcome.Queued : Outcome.Dropped;
    }

    /// <summary>Off the loop a flush ends when all that was written before it has gone: then the reader is no longer
    /// slow.</summary>
    private void WaitForRoom() => ThreadPool.UnsafeQueueUserWorkItem(static m => _ = m.GoOnWhenGoneAsync(), this,
        preferLocal: false);

    private async Task GoOnWhenGoneAsync()
    {
        await GoneAsync().ConfigureAwait(false);
        Connection.Post(static m => ((Member)m!).GoOn(), this);
    }

    private async Task GoneAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        try
        {
            await Connection.Output.FlushAsync().ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // It ended: whoever goes on sees that.
        }
    }

    private void GoOn()
    {
        TellMissed();
        lock (_gate)
        {
            if (_left || IsOver)
                DropOutbox();
            if (_outbox is not { } outbox)
                return;
            var before = outbox.Bytes;
            for (; outbox.TryPeek(out var message) && HasRoom(message.Length); outbox.Take())
                Write(message);
            _registry.Server.Counters.Add(Metrics.SendQueueBytes, outbox.Bytes - before);
            if (outbox.Count == 0)
                _outbox = null;
        }

        if (_outbox is not null)
            WaitForRoom();
    }

    private void DropOutbox()
    {
        if (_outbox is { } outbox)
            _registry.Server.Counters.Add(Metrics.SendQueueBytes, -outbox.Bytes);
        _outbox = null;
    }

    private void Miss(int messages, DropReason reason)
    {
        Interlocked.Add(ref _missed, messages);
        Interlocked.Add(ref _untold, messages);
        _registry.Server.Counters.Dropped(reason, messages);
    }

    /// <summary>A fault of the callback is one of the handler.</summary>
    private void TellMissed()
    {
        if (Volatile.Read(ref _untold) == 0 || Interlocked.Exchange(ref _untold, 0) is var missed && missed == 0)
            return;
        try
        {
            OnMissed?.Invoke(missed);
        }
        catch (Exception e)
        {
            ServerLog.HandlerFault(_registry.Server.Options.Log, e, ConnectionServer.Name(Connection));
            Connection.AbortFor(CloseReason.HandlerFault);
        }
    }
}
