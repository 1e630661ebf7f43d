using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// What has arrived for a connection and was not asked for yet. It pauses the kernel when that is more than 64 KiB, so
/// that one reader that dawdles holds no more than that of what all share.
/// </summary>
/// <remarks>The loop's thread only. A part of its reader, never copied: an object of its own would cost every idle
/// connection more.</remarks>
internal struct Inbox(LoopConnection connection)
{
    private const int BytesMax = 64 * 1024;

    /// <summary>The same limit in memory: pieces of a kilobyte or two hold a block each.</summary>
    private const int BlocksMax = 8;

    /// <summary>Worth copying, so that bytes which drip in one by one do not hold a block each.</summary>
    public const int CopiedBytesMax = BlockPool.MediumBytes / 4;

    private Block? _first;
    private Block? _last;
    private int _bytes;
    private int _blocks;
    private Ending? _ending;
    private Flow _flow;
    private bool _resumeWanted;
    private bool _inputEnded;
    private bool _nothingLeft;
    private bool _discarding;

    private enum Flow : byte
    {
        Receiving,
        Pausing,   // asked; bytes may still arrive
        Paused,
        Direct,    // paused for good: what the kernel has is taken piece by piece, then it is the end
    }

    /// <summary>Moves what arrives to another connection, without asking the owner.</summary>
    public Relay? Relay { get; private set; }

    /// <summary>The peer's FIN, or the connection's failure, was read.</summary>
    public bool PeerFinished { get; private set; }

    /// <summary>Nothing more will be there after what was taken.</summary>
    public readonly bool IsAtEnd => _first is null && (PeerFinished && Errno == 0 || _nothingLeft);

    /// <summary>What to throw when everything that arrived before it has been read.</summary>
    public readonly Exception? Failure => _ending?.Failure;

    /// <summary>Bytes that arrived after the owner had left.</summary>
    public readonly long Discarded => _ending?.Discarded ?? 0;

    private readonly int Errno => _ending?.Errno ?? 0;

    private Ending End => _ending ??= new Ending();

    public void Received(Block block)
    {
        connection.CountReceived(block.Filled);
        if (_discarding)
        {
            End.Discarded += block.Filled;
            BlockPool.Shared.Return(block);
            return;
        }

        if (_first is null && Relay is { } relay && relay.TryForward(block))
            return;
        Add(block);
        connection.Loop.Ready(connection);
        if (_bytes <= BytesMax && _blocks < BlocksMax)
            return;
        _resumeWanted = false; // what was taken since the pause has been replaced
        if (_flow == Flow.Receiving)
            Pause();
    }

    /// <summary>The last of a connection's receives: 0 = FIN.</summary>
    public void Ended(int errno)
    {
        PeerFinished = true;
        if (errno != 0)
            End.Errno = errno;
        _ending?.PeerEnd?.TrySetResult();
        if (_first is null && errno != 0)
            End.Failure = connection.Fail("recv", errno);
        connection.Loop.Ready(connection);
    }

    /// <summary>All that is there, linked; receiving goes on if it had been paused.</summary>
    public (Block? First, Block? Last) TakeAll()
    {
        if (_first is null)
        {
            if (_flow == Flow.Direct && !PeerFinished && !_discarding && !_nothingLeft)
                ReceiveDirectly();
            else if (Errno != 0)
                End.Failure ??= connection.Fail("recv", Errno);
        }

        var all = (_first, _last);
        _first = _last = null;
        _bytes = _blocks = 0;
        if (_flow == Flow.Paused && !PeerFinished)
            Resume();
        _resumeWanted = _flow == Flow.Pausing;
        return all;
    }

    public void Paused()
    {
        _flow = Flow.Paused;
        if (_inputEnded && !_discarding)
            GoDirect();
        else if (_resumeWanted && !PeerFinished)
            Resume();
    }

    /// <summary>
    /// Nobody waits for this peer any more: what the kernel has already is still handed out, then it is the end.
    /// </summary>
    public void EndInput()
    {
        if (_inputEnded)
            return;
        _inputEnded = true;
        if (PeerFinished)
            return;
        if (_flow == Flow.Receiving)
            Pause();
        else if (_flow == Flow.Paused)
            GoDirect();
    }

    /// <summary>The owner has left: what is here and what still comes is thrown away.</summary>
    public void Discard()
    {
        _nothingLeft = true; // for a read that still waits
        connection.Loop.Ready(connection);
        ThrowAway();
        Relay?.Abandon();
        Relay = null;
    }

    /// <summary>Ends with the peer's FIN or a failure.</summary>
    public Task PeerEndAsync()
    {
        if (PeerFinished)
            return Task.CompletedTask;
        End.PeerEnd ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return End.PeerEnd.Task;
    }

    public Task RelayTo(LoopWriter destination, (Block? First, int Start) held)
    {
        Relay = new Relay(connection, destination);
        return Relay.Start(held.First, held.Start);
    }

    public void EndRelay() => Relay = null;

    /// <summary>The owner reads no more, or the connection is over.</summary>
    public void Close()
    {
        ThrowAway();
        if (connection.IsDetaching)
            _ending?.PeerEnd?.TrySetResult();
        Relay?.Fail(Failure ?? connection.Ended("recv"));
    }

    private void Add(Block block)
    {
        _bytes += block.Filled;
        if (_last is null)
        {
            _first = _last = block;
            _blocks = 1;
            return;
        }

        if (block.Filled <= CopiedBytesMax && _last.Free >= block.Filled)
        {
            _last.Absorb(block);
            return;
        }

        _last.Append(block);
        _last = block;
        _blocks++;
    }

    private void Pause()
    {
        _flow = Flow.Pausing;
        connection.Loop.Poller.Pause(connection);
    }

    private void Resume()
    {
        _flow = Flow.Receiving;
        if (!connection.IsDetaching)
            connection.Loop.Poller.Resume(connection);
    }

    private void GoDirect()
    {
        _flow = Flow.Direct;
        End.DirectBytesLeft = connection.Descriptor.BytesWaiting();
        connection.Loop.Ready(connection);
    }

    /// <summary>Only what was there when the input ended: a peer that goes on sending would never let the owner
    /// go.</summary>
    private void ReceiveDirectly()
    {
        if (End.DirectBytesLeft <= 0)
        {
            _nothingLeft = true;
            return;
        }

        var block = BlockPool.Shared.Rent(BlockPool.MediumBytes);
        var received = connection.Descriptor.Receive(block.FreeSpan, out var errno);
        if (received > 0)
        {
            block.Fill(received);
            End.DirectBytesLeft -= received;
            connection.CountReceived(received);
            Add(block);
            return;
        }

        BlockPool.Shared.Return(block);
        if (received < 0 && errno == Libc.Eagain)
            _nothingLeft = true;
        else
            Ended(received == 0 ? 0 : errno);
    }

    /// <summary>Also goes on receiving, or nobody would see the peer's end.</summary>
    private void ThrowAway()
    {
        _discarding = true;
        Drop();
        if (_flow is Flow.Paused or Flow.Direct && !PeerFinished)
            Resume();
        _resumeWanted = true;
    }

    private void Drop()
    {
        if (_bytes > 0)
            End.Discarded += _bytes;
        BlockPool.Shared.ReturnChain(_first);
        _first = _last = null;
        _bytes = _blocks = 0;
    }

    /// <summary>What only a connection that ends needs.</summary>
    private sealed class Ending
    {
        public Exception? Failure;
        public TaskCompletionSource? PeerEnd;
        public long Discarded;
        public int Errno;

        /// <summary>Of what the kernel had when the input ended.</summary>
        public int DirectBytesLeft;
    }
}
