using System.Runtime.InteropServices;

namespace Mortise.Transports.Pipes;

/// <summary>
/// What all threads keep together of one size, bounded. Threads come here with many blocks at once, so that a lock is
/// cheap; the last to come is the first to go, because its bytes may still be in a cache of the processor.
/// </summary>
/// <param name="blocksMax">More are left to the garbage collector.</param>
/// <param name="quarantined">So many stay until others came after them, and then the oldest goes first.</param>
internal sealed class BlockDepot(int blocksMax, int quarantined)
{
    private readonly Lock _gate = new();
    private readonly List<Block> _blocks = [];

    public int Count => _blocks.Count;

    public void Put(ReadOnlySpan<Block> blocks)
    {
        lock (_gate)
            _blocks.AddRange(blocks[..Math.Min(blocks.Length, blocksMax - _blocks.Count)]);
    }

    public void Clear()
    {
        lock (_gate)
            _blocks.Clear();
    }

    /// <summary>Fills <paramref name="into"/> from the front and says how many there were.</summary>
    public int Take(Span<Block> into)
    {
        lock (_gate)
        {
            var taken = Math.Clamp(_blocks.Count - quarantined, 0, into.Length);
            var first = quarantined > 0 ? 0 : _blocks.Count - taken;
            CollectionsMarshal.AsSpan(_blocks).Slice(first, taken).CopyTo(into);
            _blocks.RemoveRange(first, taken);
            return taken;
        }
    }
}
