using System.Buffers;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// What other threads have written to a connection, until its loop takes it over. Senders on other threads share a
/// lock (this object: one less for each connection); the loop takes it only when something is here.
/// </summary>
internal sealed class ForeignQueue
{
    private Block? _head;
    private Block? _tail;
    private long _bytes;
    private bool _dropped;

    public long Bytes => Volatile.Read(ref _bytes);

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
            if (_dropped)
                return Nowhere(sizeHint);
            var block = _tail;
            if (block is null || block.Free < Math.Max(sizeHint, 1))
            {
                block = BlockPool.Shared.Rent(Math.Max(sizeHint, BlockPool.SmallBytes));
                if (_tail is null)
                {
                    _head = block;
                }
                else
                {
                    // Who asks again has given up what was lent before; nobody may wait for it to be filled.
                    _tail.Lent = false;
                    _tail.Append(block);
                }

                _tail = block;
            }

            block.Lent = true;
            return block;
        }
    }

    public void Advance(int bytes)
    {
        lock (this)
        {
            if (_dropped)
                return; // the flush says why
            ArgumentOutOfRangeException.ThrowIfNegative(bytes);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _tail?.Free ?? 0);
            if (_tail is null)
                return;
            _tail.Lent = false;
            _tail.Fill(bytes);
            _bytes += bytes;
        }
    }

    public void Write(ReadOnlySpan<byte> source)
    {
        lock (this)
        {
            while (source.Length > 0 && !_dropped)
            {
                var block = _tail is { Free: > 0 } ? _tail : Lend(Math.Min(source.Length, BlockPool.LargeBytes));
                block.Lent = false;
                var bytes = Math.Min(source.Length, block.Free);
                source[..bytes].CopyTo(block.FreeSpan);
                block.Fill(bytes);
                _bytes += bytes;
                source = source[bytes..];
            }
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

    /// <summary>
    /// All blocks, linked; a block that somebody still writes to stays. False when somebody is inside: a loop does not
    /// wait for the codec of another thread.
    /// </summary>
    public bool TryTakeAll(out Block? all)
    {
        all = null;
        if (!Monitor.TryEnter(this))
            return false;
        try
        {
            if (_head is null || _bytes == 0 || _tail!.Lent)
                return true;
            all = _head;
            _head = _tail = null;
            Volatile.Write(ref _bytes, 0);
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
            BlockPool.Shared.ReturnChain(_head);
            _head = _tail = null;
            Volatile.Write(ref _bytes, 0);
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
