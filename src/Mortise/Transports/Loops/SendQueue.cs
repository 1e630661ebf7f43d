using System.Buffers;
using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// Bytes on their way to the kernel: blocks, or before them memory that a caller lends until it is sent. One thread
/// at a time.
/// </summary>
/// <remarks>
/// <para>Invariant: <c>Bytes</c> = what is borrowed + from <c>_skip</c> of <c>_head</c> to the end of
/// <c>_tail</c>.</para>
/// <para>A writer may keep the memory it asked for as long as it likes, or never fill it. Meanwhile others' bytes go
/// past it, and only its owner writes to that block; what he has filled is then copied behind theirs.</para>
/// <para>A part of its writer, never copied: an object of its own would cost every idle connection more.</para>
/// </remarks>
internal struct SendQueue
{
    private const int CopiedBytesMax = 1024;

    private Block? _head;
    private Block? _tail;
    private Block? _lent;
    private int _skip;
    private Borrowed? _borrowed;
    private long _bytes;

    public long Bytes => Volatile.Read(ref _bytes);

    /// <summary>Where this queue's writer goes on: what it was lent, or the last block if nobody else was lent
    /// that.</summary>
    private readonly Block? Own => _lent ?? (_tail is { Lent: false } ? _tail : null);

    /// <summary>A block with room for so many bytes; until <see cref="Advance"/> it is the caller's.</summary>
    public Block Lend(int sizeHint)
    {
        var tail = Own is { } own && own.Free >= Math.Max(sizeHint, 1)
            ? own : Append(BlockPool.Shared.Rent(Math.Max(sizeHint,
                _tail is null ? BlockPool.SmallBytes : BlockPool.MediumBytes)));
        tail.Lent = true;
        return _lent = tail;
    }

    /// <exception cref="ArgumentOutOfRangeException">More than the block has room for.</exception>
    public void Advance(int bytes)
    {
        var lent = Own;
        ArgumentOutOfRangeException.ThrowIfNegative(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, lent?.Free ?? 0);
        _lent = null;
        if (lent is null)
            return;
        if (lent != _tail)
        {
            Copy(lent.FreeSpan[..bytes]);
            return;
        }

        lent.Lent = false;
        lent.Fill(bytes);
        Volatile.Write(ref _bytes, _bytes + bytes);
    }

    public void Copy(ReadOnlySpan<byte> source)
    {
        while (source.Length > 0)
        {
            var tail = _tail is { Free: > 0, Lent: false }
                ? _tail : Append(BlockPool.Shared.Rent(BlockFor(source.Length)));
            var bytes = Math.Min(source.Length, tail.Free);
            source[..bytes].CopyTo(tail.FreeSpan);
            tail.Fill(bytes);
            Volatile.Write(ref _bytes, _bytes + bytes);
            source = source[bytes..];
        }
    }

    /// <summary>The parts of a frame, of which the first so many bytes have gone already.</summary>
    public void Copy(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail, int skip)
    {
        CopyRest(head, ref skip);
        CopyRest(payload, ref skip);
        CopyRest(tail, ref skip);
    }

    /// <summary>All blocks, linked; nothing is borrowed here. One that is lent goes with them as far as it is
    /// filled.</summary>
    public Block? TakeAll()
    {
        var first = _head;
        _head = _tail = null;
        Volatile.Write(ref _bytes, 0);
        return first;
    }

    public void AddChain(Block? first)
    {
        while (first is { } block)
        {
            first = block.NextBlock;
            Add(block);
        }
    }

    /// <summary>Takes over a filled block. One with little in it is copied behind what waits: a slow reader's queue is
    /// limited in bytes, and must not be much more in memory.</summary>
    public void Add(Block block)
    {
        if (block.Filled == 0)
        {
            BlockPool.Shared.Return(block); // lent by a writer that then asked for more
            return;
        }

        Volatile.Write(ref _bytes, _bytes + block.Filled);
        if (_tail is { Lent: false } && block.Filled <= CopiedBytesMax && _tail.Free >= block.Filled)
        {
            _tail.Absorb(block);
            return;
        }

        block.Unlink();
        Append(block);
    }

    /// <summary>Takes the bytes where they are; only when nothing else is queued.</summary>
    public unsafe void Borrow(ReadOnlyMemory<byte> source)
    {
        _borrowed ??= new Borrowed();
        _borrowed.Pin = source.Pin();
        _borrowed.At = (byte*)_borrowed.Pin.Pointer;
        _borrowed.Bytes = source.Length;
        Volatile.Write(ref _bytes, _bytes + source.Length);
    }

    /// <summary>What to send now, in at most so many pieces; it stays in place until it is <see
    /// cref="Taken"/>.</summary>
    public unsafe int Gather(Span<IoVector> parts)
    {
        if (_borrowed is { Bytes: > 0 } borrowed)
        {
            parts[0] = new() { Address = borrowed.At, Bytes = borrowed.Bytes };
            return 1;
        }

        var count = 0;
        var skip = _skip;
        for (var block = _head; block is not null && count < parts.Length; block = block.NextBlock, skip = 0)
        {
            if (block.Filled > skip)
                parts[count++] = new() { Address = block.Address() + skip, Bytes = block.Filled - skip };
        }

        return count;
    }

    /// <summary>The kernel has taken so many bytes.</summary>
    public unsafe void Taken(int bytes)
    {
        Volatile.Write(ref _bytes, _bytes - bytes);
        if (_borrowed is not { Bytes: > 0 } borrowed)
        {
            Release(bytes);
            return;
        }

        borrowed.At += bytes;
        borrowed.Bytes -= bytes;
        if (borrowed.Bytes == 0)
            borrowed.Pin.Dispose();
    }

    public void Drop()
    {
        _borrowed?.Pin.Dispose();
        _borrowed = null;
        BlockPool.Shared.ReturnChain(_head);
        _head = _tail = _lent = null;
        _skip = 0;
        Volatile.Write(ref _bytes, 0);
    }

    private static int BlockFor(int bytes) => bytes > BlockPool.MediumBytes ? BlockPool.LargeBytes
        : bytes > BlockPool.SmallBytes ? BlockPool.MediumBytes : BlockPool.SmallBytes;

    private void CopyRest(ReadOnlySpan<byte> part, ref int skip)
    {
        var skipped = Math.Min(skip, part.Length);
        skip -= skipped;
        Copy(part[skipped..]);
    }

    private Block Append(Block block)
    {
        if (_tail is null)
            _head = block;
        else
            _tail.Append(block);
        return _tail = block;
    }

    /// <summary>Gives back what the kernel has taken; the last block stays while it is lent, for its owner fills
    /// it.</summary>
    private void Release(int bytes)
    {
        _skip += bytes;
        while (_head is { } block && _skip >= block.Filled && (block != _tail || block != _lent))
        {
            _skip -= block.Filled;
            _head = block.NextBlock;
            if (_head is null)
                _tail = null;
            BlockPool.Shared.Return(block);
        }
    }

    /// <summary>Made for a connection that once lent something large.</summary>
    private sealed unsafe class Borrowed
    {
        public MemoryHandle Pin;
        public byte* At;
        public int Bytes;
    }
}
