using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Epoll;

/// <summary>
/// The kernel's readiness (<c>epoll(7)</c>, edge-triggered): each connection is registered once, and what is ready is
/// received and sent here, in rows of system calls without users' code in between.
/// </summary>
internal sealed unsafe class EpollPoller : Poller
{
    private const int PartsMax = 64, ReceiveBytes = BlockPool.MediumBytes, StreamBytes = BlockPool.LargeBytes;
    private const int BytesPerTurn = 64 * 1024, TurnsWithoutLookMax = 16;
    private const uint In = 1, Urgent = 2, Out = 4, Error = 8, Hangup = 0x10, PeerHangup = 0x2000;   // epoll_ctl(2)

    // IoState
    private const uint Writable = 2, Paused = 4, ToReceive = 8, WaitsToSend = 16, Finished = 32, MoreBehind = 64,
        Filled = 128, Streams = 256;

    private readonly EpollSet _set = new();
    private readonly int _wake;
    private readonly SlotTable<LoopConnection> _connections = new();
    private readonly SlotTable<Watch> _watches = new();
    private readonly Queue<LoopConnection> _toReceive = new();
    private int _turnsWithoutLook;

    public EpollPoller()
    {
        try
        {
            _wake = Libc.EventFd(0, Libc.EfdCloexec | Libc.EfdNonblock);
            if (_wake < 0)
                throw EpollSet.Refusal("eventfd", Libc.Errno);
            _set.Add(_wake, In, SlotTable.WakeTag);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public override int Attached => _connections.Count + _watches.Count;

    public override void Wait(bool mayBlock)
    {
        // While some are known to be ready, who else is can wait for a few turns.
        if (_toReceive.Count == 0 || ++_turnsWithoutLook == TurnsWithoutLookMax)
            Look(mayBlock && _toReceive.Count == 0);
        ReceiveSome();
    }

    public override void Wake()
    {
        ulong one = 1;
        _ = Libc.Write(_wake, &one, sizeof(ulong));
    }

    public override void Add(Watch watch)
    {
        watch.Slot = _watches.Add(watch);
        try
        {
            _set.Add(watch.Fd, watch.Writable ? Out : In, _watches.Tag(watch.Slot) | SlotTable.WatchKind);
        }
        catch
        {
            _watches.Free(watch.Slot);
            throw;
        }
    }

    public override void Remove(Watch watch)
    {
        _set.Remove(watch.Fd);
        _watches.Free(watch.Slot);
        watch.OnRemoved();
    }

    public override void Attach(LoopConnection connection)
    {
        connection.Slot = _connections.Add(connection);
        connection.IoState = Writable;
        try
        {
            _set.Add(connection.Fd, In | Out | PeerHangup | Urgent, _connections.Tag(connection.Slot));
        }
        catch
        {
            _connections.Free(connection.Slot);
            throw;
        }
    }

    public override void Pause(LoopConnection connection)
    {
        connection.IoState |= Paused;
        connection.OnPaused();
    }

    public override void Resume(LoopConnection connection)
    {
        connection.IoState &= ~Paused;
        Queue(connection);
    }

    public override void Send(LoopConnection connection)
    {
        if ((connection.IoState & Writable) == 0)
        {
            connection.IoState |= WaitsToSend;
            return;
        }

        var parts = stackalloc IoVector[PartsMax];
        var count = connection.Gather(new Span<IoVector>(parts, PartsMax));
        nint offered = 0;
        for (var i = 0; i < count; i++)
            offered += parts[i].Bytes;
        var sent = connection.Descriptor.Send(parts, count, out var errno);
        if (errno == Libc.Eagain)
        {
            connection.IoState = connection.IoState & ~Writable | WaitsToSend;
            return;
        }

        if (errno == 0 && sent < offered)
            connection.IoState &= ~Writable;
        connection.OnSent((int)Math.Max(sent, 0), errno);
    }

    public override void Detach(LoopConnection connection)
    {
        _set.Remove(connection.Fd);
        _connections.Free(connection.Slot);
        connection.IoState = Finished;
        connection.OnDetached();
    }

    public override void Dispose()
    {
        _set.Dispose();
        _ = Libc.Close(_wake);
    }

    private void Look(bool mayBlock)
    {
        _turnsWithoutLook = 0;
        var count = _set.Wait(mayBlock);
        for (var i = 0; i < count; i++)
            Deliver(_set[i]);
    }

    private void Deliver(EpollEvent news)
    {
        if (news.Tag == SlotTable.WakeTag)
            return;
        if ((news.Tag & SlotTable.WatchKind) != 0)
        {
            _watches.Find(news.Tag & ~SlotTable.WatchKind)?.OnReady();
            return;
        }

        if (_connections.Find(news.Tag) is not { } connection)
            return;
        if ((news.Events & (PeerHangup | Hangup | Error | Urgent)) != 0)
            connection.IoState |= MoreBehind;
        if ((news.Events & (In | PeerHangup | Hangup | Error)) != 0)
            Queue(connection);
        if ((news.Events & (Out | Error | Hangup)) == 0)
            return;
        connection.IoState |= Writable;
        if ((connection.IoState & WaitsToSend) == 0)
            return;
        connection.IoState &= ~WaitsToSend;
        Send(connection);
    }

    /// <summary>Something may be there: it is looked for until the kernel has nothing, one piece per turn.</summary>
    private void Queue(LoopConnection connection)
    {
        if ((connection.IoState & (Paused | ToReceive | Finished)) != 0)
            return;
        connection.IoState |= ToReceive;
        _toReceive.Enqueue(connection);
    }

    /// <summary>
    /// Each that is ready, once; but not more than the caches hold until it has been handled and sent: a large echo
    /// costs a fifth more when its bytes have to be fetched from memory again.
    /// </summary>
    private void ReceiveSome()
    {
        var bytesLeft = BytesPerTurn;
        for (var left = _toReceive.Count; left > 0 && bytesLeft > 0; left--)
        {
            var connection = _toReceive.Dequeue();
            connection.IoState &= ~ToReceive;
            if ((connection.IoState & (Paused | Finished)) == 0)
                bytesLeft -= Receive(connection);
        }
    }

    private int Receive(LoopConnection connection)
    {
        // Who fills one block after another sends a stream, and larger ones take it in fewer calls.
        var block = BlockPool.Shared.Rent((connection.IoState & Streams) == 0 ? ReceiveBytes : StreamBytes);
        var room = block.Free;
        var received = connection.Descriptor.Receive(block.Address(), room, out var errno);
        if (received > 0)
        {
            // A short count has emptied the socket, and what comes later is an event of its own; but the event of a
            // FIN or an error that is behind these bytes may have come with theirs, and before an urgent byte the
            // kernel stops (tcp(7)).
            block.Fill(received);
            NoteFill(connection, received, room);
            connection.OnReceived(block);
            if (received == room || (connection.IoState & MoreBehind) != 0)
                Queue(connection);
            return received;
        }

        BlockPool.Shared.Return(block);
        if (errno == Libc.Eagain)
        {
            connection.IoState &= ~(Filled | Streams);
        }
        else
        {
            connection.IoState |= Finished;
            connection.OnReceiveEnded(errno);
        }

        return 0;
    }

    private static void NoteFill(LoopConnection connection, int received, int room)
    {
        var state = connection.IoState;
        if ((state & Filled) != 0)
            state |= Streams;
        else if (received < ReceiveBytes)
            state &= ~Streams;
        connection.IoState = received == room ? state | Filled : state & ~Filled;
    }
}
