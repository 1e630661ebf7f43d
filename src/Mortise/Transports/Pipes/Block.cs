using System.Buffers;

namespace Mortise.Transports.Pipes;

/// <summary>
/// One rented buffer, and at the same time a link of the <see cref="ReadOnlySequence{T}"/> that a reader hands out, so
/// that chaining buffers allocates nothing. Bytes from 0 to <see cref="Filled"/> are valid.
/// </summary>
internal sealed class Block(byte[] bytes) : ReadOnlySequenceSegment<byte>
{
    /// <summary>0 = in the pool, 1 = rented, so that a second return is caught.</summary>
    internal int Rented;

    /// <summary>
    /// Somebody outside may still write to it, so a return leaves it to the garbage collector instead of the pool.
    /// </summary>
    internal bool Lent;

    public byte[] Bytes { get; } = bytes;

    public int Filled { get; private set; }

    public int Free => Bytes.Length - Filled;

    public Block? NextBlock => (Block?)Next;

    public Span<byte> FreeSpan => Bytes.AsSpan(Filled);

    public Memory<byte> FreeMemory => Bytes.AsMemory(Filled);

    public void Fill(int bytesAdded)
    {
        Filled += bytesAdded;
        Memory = Bytes.AsMemory(0, Filled);
    }

    public void Append(Block next)
    {
        next.RunningIndex = RunningIndex + Filled;
        Next = next;
    }

    /// <summary>Alone again: it can be appended elsewhere.</summary>
    public void Unlink()
    {
        RunningIndex = 0;
        Next = null;
    }

    public void Clear()
    {
        Filled = 0;
        Memory = default;
        RunningIndex = 0;
        Next = null;
    }
}
