using System.Buffers;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// What other threads have written to a connection, until its loop takes it over. Senders on other threads share a
/// lock (this object: one less for each connection); the loop takes it only when something is here.
/// </summary>
internal sealed class ForeignQueue
{
    private SendQueue _queue;
    private bool _dropped;

    public long Bytes => _queue.Bytes;

    /// <summary>A flush of this queue is on its way to the loop.</summary>
    public int FlushPosted;

    /// <summary>Until <see cref="Exit"/> the caller's message stays in one piece.</summary>
    public void Enter() => Monitor.Enter(this);

    public void Exit() => Monitor.Exit(this);

    /// <summary>Memory that the caller, who holds the gate or is the only writer, fills until
    /// <see cref="Advance"/>.</summary>
    public Block Lend(int sizeHint)
    {
        lock (this)
        {
            return _dropped ? Nowhere(sizeHint) : _queue.Lend(sizeHint);
        }
    }

    public void Advance(int bytes)
    {
        lock (this)
        {
            if (!_dropped) // else the flush says why
                _queue.Advance(bytes);
        }
    }

    public void Write(ReadOnlySpan<byte> source)
    {
        lock (this)
        {
            if (!_dropped)
                _queue.Copy(source);
        }
    }

    public void Write(in ReadOnlySequence<byte> source)
    {
        lock (this)
        {
            foreach (var part in source)
                Write(part.Span);
        }
    }

    public void Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail)
    {
        lock (this)
        {
            Write(head);
            Write(payload);
            Write(tail);
        }
    }

    /// <summary>All blocks, linked. False when somebody is inside: a loop does not wait for the codec of another
    /// thread.</summary>
    public bool TryTakeAll(out Block? all)
    {
        all = null;
        if (!Monitor.TryEnter(this))
            return false;
        try
        {
            all = _queue.TakeAll();
            return true;
        }
        finally
        {
            Monitor.Exit(this);
        }
    }

    /// <summary>The connection is over; what is lent is never handed out again.</summary>
    public void Drop()
    {
        lock (this)
        {
            _dropped = true;
            _queue.Drop();
        }
    }

    /// <summary>For who writes after the end: memory that nobody else ever sees.</summary>
    private static Block Nowhere(int sizeHint)
    {
        var block = BlockPool.Shared.Rent(Math.Max(sizeHint, BlockPool.SmallBytes));
        BlockPool.Shared.ForgetChain(block);
        return block;
    }
}
