using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using static Mortise.Transports.Kernel.UringAbi;

namespace Mortise.Transports.Uring;

/// <summary>
/// The loop on io_uring: what was asked during a turn goes to the kernel in one call, which also waits; receiving goes
/// on by itself, into buffers of ours, until it is cancelled.
/// </summary>
/// <remarks>
/// Every request carries kind, generation and slot of whoever asked. A slot is given to another only after the last
/// completion of its requests, so that the late answer of a cancellation finds nobody. Receiving needs a decision after
/// each completion that says it was the last; <see cref="Settle"/> is that decision. Sockets are in blocking mode: with
/// O_NONBLOCK the kernel answers EAGAIN where it should wait.
/// </remarks>
internal sealed unsafe class UringPoller : Poller
{
    // What a request was, in the top byte of its user data.
    private const ulong Kind = 1ul << 56, KindMask = 0xFFul << 56;
    private const ulong Receive = 1 * Kind, Sent = 2 * Kind, CancelReceive = 3 * Kind, CancelSend = 4 * Kind;
    private const ulong Readiness = SlotTable.WatchKind | (1 * Kind), CancelWatch = SlotTable.WatchKind | (2 * Kind);

    // IoState; the first two also of a watch.
    private const uint Armed = 1, Leaving = 2, Cancelling = 4, Wanted = 8, Pausing = 16, Ended = 32, Sending = 64;

    private const int Enoent = 2, Enobufs = 105, Ecanceled = 125;
    private const uint AloneNewsMax = 2;
    private const int GoodbyeMillisecondsMax = 5000;
    private static readonly TimeSpan GoodbyeTurn = TimeSpan.FromSeconds(1);

    private readonly Ring _ring;
    private readonly BufferRing _buffers;
    private readonly int _wake;
    private readonly SlotTable<LoopConnection> _connections = new();
    private readonly SlotTable<Watch> _watches = new();
    private readonly List<LoopConnection> _starved = [];
    private readonly MessageLists _lists = new();

    private bool _alone;
    private bool _wakeArmed;
    private bool _disposed;

    /// <exception cref="MortiseException">The kernel refused; <see cref="UringProbe"/> says so beforehand.</exception>
    public UringPoller(uint submissions = Ring.SubmissionsDefault, uint completions = 0,
        int slotsStart = BufferRing.SlotsStartDefault, int slotsMax = BufferRing.SlotsMaxDefault)
    {
        _wake = Libc.EventFd(0, Libc.EfdCloexec | Libc.EfdNonblock);
        if (_wake < 0)
            throw Ring.Refusal("eventfd", Libc.Errno);
        try
        {
            _ring = new Ring(submissions, completions);
            _buffers = new BufferRing(_ring, BlockPool.Shared, slotsStart: slotsStart, slotsMax: slotsMax);
        }
        catch
        {
            _ring?.Dispose();
            _lists.Dispose();
            _ = Libc.Close(_wake);
            throw;
        }
        ArmWake();
    }

    public override int Attached => _connections.Count + _watches.Count;

    public override void Wait(bool mayBlock)
    {
        if (_starved.Count != 0)
            FeedStarved();
        if (mayBlock && _ring.Ready == 0)
            _ring.SubmitAndWait(1);
        else if (_ring.Pending != 0 || _ring.MustEnter)
            _ring.SubmitAndWait(0);
        Deliver();
    }

    public override void Wake()
    {
        ulong one = 1;
        _ = Libc.Write(_wake, &one, sizeof(ulong));
    }

    public override void Add(Watch watch)
    {
        watch.Slot = _watches.Add(watch);
        watch.IoState = 0;
        Arm(watch);
    }

    public override void Remove(Watch watch)
    {
        if ((watch.IoState & Leaving) != 0)
            return;
        watch.IoState |= Leaving;
        Stop(watch);
    }

    public override void Attach(LoopConnection connection)
    {
        connection.Slot = _connections.Add(connection);
        connection.IoState = Wanted;
        Arm(connection);
    }

    public override void Pause(LoopConnection connection)
    {
        var state = connection.IoState;
        if ((state & Wanted) == 0)
            return;
        connection.IoState = (state & ~Wanted) | ((state & Armed) != 0 ? Pausing : 0);
        if ((state & Armed) == 0)
            connection.OnPaused();
        else if ((state & Cancelling) == 0)
            StopReceiving(connection);
    }

    public override void Resume(LoopConnection connection)
    {
        var state = connection.IoState;
        if ((state & (Wanted | Ended | Leaving)) != 0)
            return;
        connection.IoState = (state & ~Pausing) | Wanted;

        // Where a cancellation is under way, its completion arms anew.
        if ((state & Armed) == 0)
            Arm(connection);
    }

    public override void Send(LoopConnection connection)
    {
        if ((connection.IoState & (Sending | Leaving)) != 0)
            return;
        if (!_lists.HasRoom)
            SubmitLists();
        var count = connection.Gather(_lists.Next);
        if (count == 0 || count == 1 && _alone && SendAlone(connection, _lists.First))
            return;

        connection.IoState |= Sending;
        var userData = Sent | _connections.Tag(connection.Slot);
        if (count == 1)
            _ring.Send(connection.Fd, (nint)_lists.First->Address, _lists.First->Bytes, userData);
        else
            _ring.Send(connection.Fd, _lists.Keep(count), userData);
    }

    public override void Detach(LoopConnection connection)
    {
        var state = connection.IoState;
        if ((state & Leaving) != 0)
            return;
        connection.IoState = (state & ~(Wanted | Pausing)) | Leaving;
        if ((state & Sending) != 0)
            StopSending(connection);

        // Also where nothing is armed: the answer then says ENOENT, and lets go within the next turn.
        if ((state & Cancelling) == 0)
            StopReceiving(connection);
    }

    public override void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        _connections.ForEach(Detach);
        _watches.ForEach(Remove);
        _ring.Cancel(SlotTable.WakeTag, 0);

        // A request that is still out would keep its socket open after us: a listener that swallows clients.
        var deadline = Environment.TickCount64 + GoodbyeMillisecondsMax;
        while ((Attached != 0 || _wakeArmed) && Environment.TickCount64 < deadline)
        {
            _ring.SubmitAndWait(1, GoodbyeTurn);
            Deliver();
        }
        _buffers.Dispose();
        _ring.Dispose();
        _ = Libc.Close(_wake);
        _lists.Dispose();
    }

    private void Deliver()
    {
        if (_ring.Pending == 0)
            _lists.Reset();
        var ready = _ring.Ready;
        _alone = ready <= AloneNewsMax;
        for (var left = ready; left != 0; left--)
        {
            var done = _ring.Take();
            if (done.UserData < SlotTable.WatchKind)
                ToConnection(done);
            else if (done.UserData != SlotTable.WakeTag)
                ToWatch(done);
            else if ((done.Flags & CqeMore) == 0)
                ArmWake();
        }
    }

    private void ToConnection(Completion done)
    {
        if (_connections.Find(done.UserData) is not { } connection)
        {
            if ((done.Flags & CqeBuffer) != 0)
                _buffers.PutBack(done.Flags);
            return;
        }
        switch (done.UserData & KindMask)
        {
            case Receive:
                OnReceive(connection, done);
                break;
            case Sent:
                OnSent(connection, done.Result);
                break;

            // The answer of a cancellation. ENOENT while the request is out: it was between two places just then.
            case CancelReceive when done.Result == -Enoent
                    && (connection.IoState & (Armed | Cancelling)) == (Armed | Cancelling):
                StopReceiving(connection);
                break;
            case CancelSend when done.Result == -Enoent && (connection.IoState & Sending) != 0:
                StopSending(connection);
                break;
            default:
                Settle(connection);
                break;
        }
    }

    private void OnReceive(LoopConnection connection, Completion done)
    {
        var last = (done.Flags & CqeMore) == 0;
        if (last)
            connection.IoState &= ~(Armed | Cancelling);
        if (done.Result > 0)
        {
            var block = _buffers.Take(done.Flags, done.Result);
            if ((connection.IoState & Leaving) == 0)
                connection.OnReceived(block);
            else
                BlockPool.Shared.Return(block);
        }
        else if ((done.Flags & CqeBuffer) != 0)
            _buffers.PutBack(done.Flags);
        if (last)
            OnReceiveOver(connection, done.Result);
    }

    private void OnReceiveOver(LoopConnection connection, int result)
    {
        if (result == -Enobufs)
        {
            // Armed again when this turn's buffers are replaced; at once would only fail once more. Whoever is being
            // paused has had enough of them: more would only let it take in more the next time.
            if ((connection.IoState & Pausing) == 0)
                _buffers.Widen();
            _starved.Add(connection);
        }
        else if (result is 0 or < 0 and not (-Ecanceled or -Libc.Eintr))
        {
            connection.IoState = (connection.IoState & ~(Wanted | Pausing)) | Ended;
            if ((connection.IoState & Leaving) == 0)
                connection.OnReceiveEnded(-result);
        }
        Settle(connection, starved: result == -Enobufs);
    }

    private void OnSent(LoopConnection connection, int result)
    {
        connection.IoState &= ~Sending;
        if ((connection.IoState & Leaving) != 0)
            Settle(connection);
        else if (result == -Libc.Eintr)
            Send(connection);
        else
            connection.OnSent(Math.Max(result, 0), Math.Max(-result, 0));
    }

    /// <summary>What follows when something of a connection is over: it leaves, is paused, or receives again.</summary>
    private void Settle(LoopConnection connection, bool starved = false)
    {
        var state = connection.IoState;
        if ((state & Leaving) != 0)
        {
            if ((state & (Armed | Sending)) != 0)
                return;
            _connections.Free(connection.Slot);
            connection.Slot = -1;
            connection.OnDetached();
        }
        else if ((state & (Armed | Pausing)) == Pausing)
        {
            connection.IoState = state & ~Pausing;
            connection.OnPaused();
        }
        else if ((state & (Armed | Wanted)) == Wanted && !starved)
            Arm(connection);
    }

    private void ToWatch(Completion done)
    {
        if (_watches.Find(done.UserData) is not { } watch)
            return;
        if ((done.UserData & KindMask) == Readiness)
        {
            if ((done.Flags & CqeMore) == 0)
                watch.IoState &= ~Armed;

            // An error, too, is for the watch to find out: the call it is about to try says it.
            if ((watch.IoState & Leaving) == 0)
                watch.OnReady();
        }

        if ((watch.IoState & (Armed | Leaving)) == Leaving)
        {
            _watches.Free(watch.Slot);
            watch.Slot = -1;
            watch.OnRemoved();
        }
        else if ((watch.IoState & Leaving) != 0 && done.Result == -Enoent)
            Stop(watch);
        else if ((watch.IoState & Armed) == 0 && done.Result >= 0)
            Arm(watch);
    }

    /// <summary>Where little goes on, a request and its completion cost more than a call. False: ask.</summary>
    private bool SendAlone(LoopConnection connection, IoVector* part)
    {
        _alone = false;
        var sent = connection.Descriptor.Send(part, 1, out var errno);
        if (errno == Libc.Eagain)
            return false;
        connection.OnSent((int)Math.Max(sent, 0), errno);
        return true;
    }

    private void SubmitLists()
    {
        _ring.Submit();
        if (_ring.Pending == 0)
            _lists.Reset();
    }

    private void FeedStarved()
    {
        foreach (var connection in _starved)
            if ((connection.IoState & (Wanted | Armed)) == Wanted)
                Arm(connection);
        _starved.Clear();
    }

    private void Arm(LoopConnection connection)
    {
        connection.IoState |= Armed;
        _ring.Receive(connection.Fd, _buffers.Group, Receive | _connections.Tag(connection.Slot));
    }

    private void StopReceiving(LoopConnection connection)
    {
        connection.IoState |= Cancelling;
        var tag = _connections.Tag(connection.Slot);
        _ring.Cancel(Receive | tag, CancelReceive | tag);
    }

    private void StopSending(LoopConnection connection)
    {
        var tag = _connections.Tag(connection.Slot);
        _ring.Cancel(Sent | tag, CancelSend | tag);
    }

    private void Arm(Watch watch)
    {
        watch.IoState |= Armed;
        _ring.Poll(watch.Fd, watch.Writable ? PollOut : PollIn, Readiness | _watches.Tag(watch.Slot));
    }

    private void Stop(Watch watch)
    {
        var tag = _watches.Tag(watch.Slot);
        _ring.Cancel(Readiness | tag, CancelWatch | tag);
    }

    // The eventfd is never read: each write wakes whoever polls it, and 2^64 of them do not happen.
    private void ArmWake()
    {
        _wakeArmed = !_disposed;
        if (_wakeArmed)
            _ring.Poll(_wake, PollIn, SlotTable.WakeTag);
    }
}
