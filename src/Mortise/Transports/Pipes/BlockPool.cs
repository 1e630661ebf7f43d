using System.Collections.Concurrent;
using Mortise.Telemetry;

namespace Mortise.Transports.Pipes;

/// <summary>
/// Buffers of three sizes for every connection of the process. A connection rents only when bytes are there and gives
/// back when they are consumed, so an idle connection holds none. What the pool keeps is bounded; the rest is garbage.
/// </summary>
/// <remarks>
/// With <c>MORTISE_POISON=1</c> a returned buffer is overwritten and retired for a while, so that code which reads
/// after returning sees 0xDB bytes, and a write after return is found when the buffer comes round again.
/// </remarks>
internal sealed class BlockPool(bool poison)
{
    public const int SmallBytes = 4 * 1024;
    public const int MediumBytes = 16 * 1024;
    public const int LargeBytes = 64 * 1024;
    private const byte Poison = 0xDB;
    private const int KeptBytesMax = 16 * 1024 * 1024;
    private const int QuarantinedBlocks = 64;

    private readonly ConcurrentQueue<Block>[] _kept = [new(), new(), new()];
    private readonly int[] _keptCount = new int[3];
    private long _outstanding;

    [ThreadStatic]
    private static Block?[]? t_last;

    public static BlockPool Shared { get; } = MakeShared();

    /// <summary>Buffers rented and not yet returned; 0 when no connection holds bytes.</summary>
    public long Outstanding => Interlocked.Read(ref _outstanding);

    /// <summary>Bytes kept for the next connections, at most 16 MiB of each size.</summary>
    public long KeptBytes => _keptCount.Select((count, size) => count * ((long)SmallBytes << (2 * size))).Sum();

    /// <summary>A buffer of at least <paramref name="bytesMin"/> bytes; above 64 KiB it is not pooled.</summary>
    public Block Rent(int bytesMin)
    {
        Interlocked.Increment(ref _outstanding);
        var size = SizeClass(bytesMin);
        if (size < 0)
            return new Block(GC.AllocateUninitializedArray<byte>(bytesMin)) { Rented = 1 };

        if (!poison && this == Shared && t_last is { } last && last[size] is { } block)
            last[size] = null;
        else if (!TryTakeKept(size, out block))
            block = new Block(GC.AllocateUninitializedArray<byte>(SmallBytes << (2 * size)));

        block.Rented = 1;
        return block;
    }

    /// <exception cref="InvalidOperationException">The buffer was returned before: two owners believed it
    /// theirs.</exception>
    public void Return(Block block)
    {
        if (Interlocked.Exchange(ref block.Rented, 0) == 0)
            throw new InvalidOperationException("A buffer was returned twice: two owners believed it theirs.");

        Interlocked.Decrement(ref _outstanding);
        if (block.Lent)
            return;
        block.Clear();
        var size = SizeClass(block.Bytes.Length);
        if (size < 0)
            return;
        if (poison)
            block.Bytes.AsSpan().Fill(Poison);
        else if (this == Shared && (t_last ??= new Block?[3])[size] is null)
        {
            t_last[size] = block;
            return;
        }

        if (Interlocked.Increment(ref _keptCount[size]) * (long)block.Bytes.Length <= KeptBytesMax)
            _kept[size].Enqueue(block);
        else
            Interlocked.Decrement(ref _keptCount[size]);
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

    private static BlockPool MakeShared()
    {
        var pool = new BlockPool(Environment.GetEnvironmentVariable("MORTISE_POISON") == "1");
        MortiseMeter.Probe(Metrics.BuffersOutstanding, () => pool.Outstanding);
        return pool;
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

    private bool TryTakeKept(int size, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out Block? block)
    {
        block = null;
        if (poison && _kept[size].Count < QuarantinedBlocks || !_kept[size].TryDequeue(out block))
            return false;
        Interlocked.Decrement(ref _keptCount[size]);
        if (poison && block.Bytes.AsSpan().IndexOfAnyExcept(Poison) is var at and >= 0)
            throw new InvalidOperationException($"A buffer was written after it was returned (at byte {at}).");
        return true;
    }

    private static int SizeClass(int bytes) => bytes switch
    {
        <= SmallBytes => 0,
        <= MediumBytes => 1,
        <= LargeBytes => 2,
        _ => -1,
    };
}
