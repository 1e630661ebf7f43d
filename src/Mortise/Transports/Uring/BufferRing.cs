using System.Runtime.InteropServices;
using Mortise.Transports.Kernel;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using static Mortise.Transports.Kernel.UringAbi;

namespace Mortise.Transports.Uring;

/// <summary>
/// The buffers that the kernel may receive into. A received one is taken out, becomes the reader's without a copy, and
/// an empty one is offered in its place at once, so the ring is never shorter than it was when a turn ends.
/// </summary>
/// <remarks>
/// It starts small, for an idle process holds these buffers for nothing, and doubles each time the kernel ran out of
/// them within one turn.
/// </remarks>
internal sealed unsafe class BufferRing : IDisposable
{
    public const int SlotsStartDefault = 64;
    public const int SlotsMaxDefault = 1024;
    private const nuint PageBytes = 4096;
    private const int TailOffset = 14;

    private readonly Ring _ring;
    private readonly BlockPool _pool;
    private readonly Block[] _offered;
    private readonly OfferedBuffer* _entries;
    private readonly int _mask;
    private ushort _tail;
    private bool _disposed;

    /// <summary>Registers a group with room for <paramref name="slotsMax"/> buffers, a power of two.</summary>
    /// <exception cref="MortiseException">The kernel refused: ENOMEM, EINVAL.</exception>
    public BufferRing(Ring ring, BlockPool pool, ushort group = 0, int slotsStart = SlotsStartDefault,
        int slotsMax = SlotsMaxDefault)
    {
        _ring = ring;
        _pool = pool;
        _mask = slotsMax - 1;
        _offered = new Block[slotsMax];
        Group = group;
        _entries = (OfferedBuffer*)NativeMemory.AlignedAlloc((nuint)(slotsMax * sizeof(OfferedBuffer)), PageBytes);
        NativeMemory.Clear(_entries, (nuint)(slotsMax * sizeof(OfferedBuffer)));
        var registration = new BufferRingRegistration
        {
            Address = (ulong)_entries,
            Entries = (uint)slotsMax,
            Group = group,
        };
        if (Register(ring.Fd, RegisterBufferRing, &registration, 1) < 0)
        {
            var errno = Libc.Errno;
            NativeMemory.AlignedFree(_entries);
            throw Ring.Refusal("IORING_REGISTER_PBUF_RING", errno);
        }
        Widen(slotsStart);
    }

    public ushort Group { get; }

    /// <summary>Buffers that the kernel can fill before the first must be taken out.</summary>
    public int Slots { get; private set; }

    /// <summary>The buffer of a completion, with its bytes; the caller owns it now.</summary>
    public Block Take(uint completionFlags, int bytes)
    {
        var id = (int)(completionFlags >> CqeBufferShift);
        var block = _offered[id];
        block.Fill(bytes);
        Offer(id, _pool.Rent(BlockPool.MediumBytes));
        return block;
    }

    /// <summary>Offers the buffer of a completion again that brought no bytes.</summary>
    public void PutBack(uint completionFlags)
    {
        var id = (int)(completionFlags >> CqeBufferShift);
        Offer(id, _offered[id]);
    }

    /// <summary>The kernel ran out of buffers: offers twice as many, up to the most.</summary>
    public void Widen() => Widen(Math.Min(Slots * 2, _offered.Length));

    /// <summary>Takes the ring from the kernel, and the buffers back; nothing may be received into it now.</summary>
    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        var registration = new BufferRingRegistration { Group = Group };
        Register(_ring.Fd, UnregisterBufferRing, &registration, 1);
        NativeMemory.AlignedFree(_entries);
        _pool.Reserve(-Slots);
        for (var id = 0; id < Slots; id++)
            _pool.Return(_offered[id]);
    }

    private void Widen(int slots)
    {
        _pool.Reserve(slots - Slots);
        for (; Slots < slots; Slots++)
            Offer(Slots, _pool.Rent(BlockPool.MediumBytes));
    }

    private void Offer(int id, Block block)
    {
        _offered[id] = block;
        var entry = _entries + (_tail & _mask);
        // The array is pinned, as all of the pool's are: its address stays.
        entry->Address = (ulong)block.Address();
        entry->Length = (uint)block.Bytes.Length;
        entry->Id = (ushort)id;
        Volatile.Write(ref *(ushort*)((byte*)_entries + TailOffset), ++_tail);
    }
}
