namespace Mortise.Transports.Pipes;

/// <summary>
/// The part of a <see cref="BlockPool"/> that belongs to one thread: a few blocks of each size and a count, neither of
/// which needs a lock or an interlocked operation. It goes to the depots with half of what it may keep at a time.
/// </summary>
internal sealed class BlockShard
{
    private readonly BlockPool _pool;
    private readonly Bin[] _bins = new Bin[BlockPool.Sizes];

    /// <summary>
    /// Rented less returned on this thread: below 0 where others rent what it returns. Only the sum over all threads
    /// says how many are out.
    /// </summary>
    private long _outstanding;

    public BlockShard(BlockPool pool, int blocksKept)
    {
        _pool = pool;
        Keep(blocksKept);
    }

    public BlockPool Pool => _pool;

    public long Outstanding => Volatile.Read(ref _outstanding);

    public long KeptBytes => _bins.Select((bin, size) => (long)bin.Count * BlockPool.BytesOf(size)).Sum();

    /// <summary>Runs something on the shard's thread; only who adopts blocks has that.</summary>
    public Action<SendOrPostCallback, object?>? Post { get; set; }

    /// <summary>How many it keeps from now on of the size that loops receive into; of larger ones fewer.</summary>
    public void Keep(int blocks)
    {
        for (var size = 0; size < _bins.Length; size++)
        {
            var most = size < BlockPool.Sizes - 1 ? blocks : Math.Max(2, blocks / 4);
            Array.Resize(ref _bins[size].Blocks, Math.Max(most, _bins[size].Count));
        }
    }

    public Block Take(int size)
    {
        _outstanding++;
        ref var bin = ref _bins[size];
        var last = bin.Count - 1;
        if (last < 0)
            return TakeFromDepot(size);
        bin.Count = last;
        return bin.Blocks[last];   // the stale entry is overwritten by the next return, and bounded
    }

    public void Put(Block block, int size)
    {
        _outstanding--;
        ref var bin = ref _bins[size];
        if (bin.Count == bin.Blocks.Length)
            PutHalfIntoDepot(size);
        bin.Blocks[bin.Count++] = block;
    }

    public void CountRented() => _outstanding++;

    public void CountReturned() => _outstanding--;

    /// <summary>Leaves what it keeps to the garbage collector. On its thread.</summary>
    public void Drop()
    {
        for (var size = 0; size < _bins.Length; size++)
        {
            Array.Clear(_bins[size].Blocks);
            _bins[size].Count = 0;
        }
    }

    /// <summary>Its thread is no more: nothing of what it kept may be lost.</summary>
    public void Empty()
    {
        for (var size = 0; size < _bins.Length; size++)
        {
            ref var bin = ref _bins[size];
            _pool.Depot(size).Put(bin.Blocks.AsSpan(0, bin.Count));
            bin.Count = 0;
        }
    }

    private Block TakeFromDepot(int size)
    {
        ref var bin = ref _bins[size];
        var taken = _pool.Depot(size).Take(bin.Blocks.AsSpan(0, bin.Blocks.Length / 2));
        if (taken == 0)
            return BlockPool.Make(BlockPool.BytesOf(size));
        bin.Count = taken - 1;
        return bin.Blocks[taken - 1];
    }

    private void PutHalfIntoDepot(int size)
    {
        // The older half goes; what was returned last is likelier to be in the processor's cache.
        ref var bin = ref _bins[size];
        var half = bin.Count / 2;
        _pool.Depot(size).Put(bin.Blocks.AsSpan(0, half));
        bin.Blocks.AsSpan(half, bin.Count - half).CopyTo(bin.Blocks);
        bin.Count -= half;
    }

    private struct Bin
    {
        public Block[] Blocks;
        public int Count;
    }
}
