using System.Diagnostics.CodeAnalysis;
using Mortise.Telemetry;

namespace Mortise.Transports.Pipes;

/// <summary>
/// Buffers of three sizes for every connection of the process. A connection rents only when bytes are there and gives
/// back when they are consumed, so an idle connection holds none. What the pool keeps is bounded; the rest is garbage.
/// All are pinned, so that the kernel may be told where they are.
/// </summary>
/// <remarks>
/// Each thread has a shard with a few blocks, so that renting and returning share nothing with other threads; the loops
/// ask for larger ones (<see cref="Adopt"/>). With <c>MORTISE_POISON=1</c> there are no shards: a returned buffer is
/// overwritten and retired for a while, so that code which reads after returning sees 0xDB bytes, and a write after
/// return is found when the buffer comes round again.
/// </remarks>
internal sealed class BlockPool
{
    public const int SmallBytes = 4 * 1024;
    public const int MediumBytes = 16 * 1024;
    public const int LargeBytes = 64 * 1024;
    public const int Sizes = 3;
    private const byte Poison = 0xDB;
    private const int DepotBytesMax = 16 * 1024 * 1024;
    private const int QuarantinedBlocks = 64;
    private const int ThreadKeeps = 2;

    private readonly bool _poison;
    private readonly bool _perThread;
    private readonly BlockDepot[] _depots;
    private readonly List<BlockShard> _shards = [];

    /// <summary>Of what no living thread's shard counts.</summary>
    private long _outstanding;

    [ThreadStatic]
    private static BlockShard? t_shard;

    [ThreadStatic]
    private static Heir? t_heir;

    /// <param name="poison">Finds uses after the return, at a price.</param>
    /// <param name="perThread">Threads keep blocks for themselves; a thread does so for one pool.</param>
    public BlockPool(bool poison, bool perThread = false)
    {
        _poison = poison;
        _perThread = perThread && !poison;
        _depots = [.. Enumerable.Range(0, Sizes)
            .Select(size => new BlockDepot(DepotBytesMax / BytesOf(size), poison ? QuarantinedBlocks : 0))];
    }

    public static BlockPool Shared { get; } = MakeShared();

    /// <summary>
    /// Buffers rented and not yet returned; 0 when no connection holds bytes. Exact when nobody rents or returns
    /// meanwhile.
    /// </summary>
    public long Outstanding
    {
        get
        {
            lock (_shards)
                return Interlocked.Read(ref _outstanding) + _shards.Sum(s => s.Outstanding);
        }
    }

    /// <summary>
    /// Bytes kept for the next connections: at most 16 MiB of each size, and for each thread 2 blocks of each size or
    /// what it adopted; until the next full collection.
    /// </summary>
    public long KeptBytes
    {
        get
        {
            lock (_shards)
                return _depots.Select((d, size) => d.Count * (long)BytesOf(size)).Sum() + _shards.Sum(s => s.KeptBytes);
        }
    }

    /// <summary>Threads that keep blocks; one that died counts until the collector has seen it.</summary>
    internal int Shards => _shards.Count;

    /// <summary>
    /// The calling thread rents and returns all day, as an event loop does: it keeps <paramref name="blocksKept"/> of
    /// 4 and of 16 KiB and a quarter of that of 64 KiB (256 are 9 MiB) for itself from now on.
    /// </summary>
    /// <param name="blocksKept">Of each size, of the largest a quarter.</param>
    /// <param name="post">Runs something on this thread, soon: then it can be asked to let go of them.</param>
    public void Adopt(int blocksKept, Action<SendOrPostCallback, object?>? post = null)
    {
        if (OwnShard() is not { } shard)
            return;
        shard.Keep(blocksKept);
        shard.Post = post;
    }

    /// <summary>
    /// What the depots and the loops keep is given up. A burst may leave 16 MiB and more behind; what is in daily use
    /// is soon there again.
    /// </summary>
    public void Trim()
    {
        if (_poison)
            return;
        foreach (var depot in _depots)
            depot.Clear();
        lock (_shards)
        {
            foreach (var shard in _shards)
                shard.Post?.Invoke(static s => ((BlockShard)s!).Drop(), shard);
        }
    }

    /// <summary>
    /// So many rented blocks stand ready for the kernel: no connection holds them, so they do not count as outstanding.
    /// Below 0: they are about to be returned.
    /// </summary>
    public void Reserve(int blocks) => Interlocked.Add(ref _outstanding, -blocks);

    /// <summary>A buffer of at least <paramref name="bytesMin"/> bytes; above 64 KiB it is not pooled.</summary>
    public Block Rent(int bytesMin)
    {
        var size = SizeClass(bytesMin);
        var block = size >= 0 && t_shard is { } shard && shard.Pool == this
            ? shard.Take(size) : RentSlowly(size, bytesMin);
        block.Rented = 1;
        return block;
    }

    /// <exception cref="InvalidOperationException">The buffer was returned before: two owners believed it
    /// theirs.</exception>
    public void Return(Block block)
    {
        if (block.Rented == 0)
            throw Twice();
        if (!block.Lent && t_shard is { } shard && shard.Pool == this && SizeClass(block.Bytes.Length) is var size
            && size >= 0)
        {
            block.Rented = 0;
            block.Clear();
            shard.Put(block, size);
            return;
        }

        ReturnSlowly(block);
    }

    /// <summary>Returns <paramref name="first"/> and all blocks behind it.</summary>
    public void ReturnChain(Block? first)
    {
        while (first is not null)
        {
            var next = first.NextBlock;
            Return(first);
            first = next;
        }
    }

    /// <summary>
    /// Gives up <paramref name="first"/> and all blocks behind it while somebody may still look at them: they count as
    /// returned, and are never handed out again.
    /// </summary>
    public void ForgetChain(Block? first)
    {
        for (; first is not null; first = first.NextBlock)
        {
            first.Lent = true;
            Return(first);
        }
    }

    internal static int BytesOf(int size) => SmallBytes << (2 * size);

    internal static Block Make(int bytes) => new(GC.AllocateUninitializedArray<byte>(bytes, pinned: true));

    internal BlockDepot Depot(int size) => _depots[size];

    private Block RentSlowly(int size, int bytesMin)
    {
        if (OwnShard() is { } shard)
        {
            if (size >= 0)
                return shard.Take(size);
            shard.CountRented();
            return Make(bytesMin);
        }

        Interlocked.Increment(ref _outstanding);
        return size < 0 ? Make(bytesMin) : TryTakeKept(size, out var block) ? block : Make(BytesOf(size));
    }

    private void ReturnSlowly(Block block)
    {
        // Atomic where the fault is looked for; a pool with shards has made a plain look.
        if (Interlocked.Exchange(ref block.Rented, 0) == 0)
            throw Twice();
        var shard = OwnShard();
        if (shard is null)
            Interlocked.Decrement(ref _outstanding);
        else
            shard.CountReturned();
        if (block.Lent)
            return;
        block.Clear();
        if (_poison)
            block.Bytes.AsSpan().Fill(Poison);
        if (SizeClass(block.Bytes.Length) is var size and >= 0)
            _depots[size].Put([block]);
    }

    private bool TryTakeKept(int size, [NotNullWhen(true)] out Block? block)
    {
        block = null;
        if (_depots[size].Take(new Span<Block>(ref block!)) == 0)
            return false;
        if (_poison && block.Bytes.AsSpan().IndexOfAnyExcept(Poison) is var at and >= 0)
            throw new InvalidOperationException($"A buffer was written after it was returned (at byte {at}).");
        return true;
    }

    /// <summary>The calling thread's shard, made when it first comes; null where it may have none.</summary>
    private BlockShard? OwnShard()
    {
        if (!_perThread || t_shard is { } other && other.Pool != this)
            return null;
        if (t_shard is { } own)
            return own;
        var shard = new BlockShard(this, ThreadKeeps);
        lock (_shards)
            _shards.Add(shard);
        t_heir = new Heir(shard);
        return t_shard = shard;
    }

    private void Bury(BlockShard shard)
    {
        shard.Empty();
        lock (_shards)
        {
            _shards.Remove(shard);
            Interlocked.Add(ref _outstanding, shard.Outstanding);
        }
    }

    private static BlockPool MakeShared()
    {
        var poison = Environment.GetEnvironmentVariable("MORTISE_POISON") == "1";
        var pool = new BlockPool(poison, perThread: true);
        MortiseMeter.Probe(Metrics.BuffersOutstanding, () => pool.Outstanding);
        GC.KeepAlive(new FullCollection(pool.Trim));
        return pool;
    }

    private static InvalidOperationException Twice() =>
        new("A buffer was returned twice: two owners believed it theirs.");

    private static int SizeClass(int bytes) => bytes switch
    {
        <= SmallBytes => 0,
        <= MediumBytes => 1,
        <= LargeBytes => 2,
        _ => -1,
    };

    /// <summary>
    /// Reachable from nowhere, so every full collection calls it (once it is old; the first young ones do too): memory
    /// is short then, or somebody asked.
    /// </summary>
    private sealed class FullCollection(Action happened)
    {
        ~FullCollection()
        {
            happened();
            GC.ReRegisterForFinalize(this);
        }
    }

    /// <summary>Reachable from its thread only: when the thread is gone, the collector calls and the shard is
    /// buried.</summary>
    private sealed class Heir(BlockShard shard)
    {
        ~Heir() => shard.Pool.Bury(shard);
    }
}
