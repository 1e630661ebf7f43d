using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>Two owners of one buffer are caught, not debugged: planted faults that the pool must report.</summary>
public sealed class BlockPoolTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void A_second_return_is_refused(bool poison)
    {
        var pool = new BlockPool(poison);
        var block = pool.Rent(1);
        pool.Return(block);

        var error = Assert.Throws<InvalidOperationException>(() => pool.Return(block));
        Assert.Contains("returned twice", error.Message);
        Assert.Equal(0, pool.Outstanding);
    }

    [Fact]
    public void Reading_after_the_return_sees_poison()
    {
        var pool = new BlockPool(poison: true);
        var block = pool.Rent(1);
        "secret"u8.CopyTo(block.FreeSpan);
        block.Fill(6);
        var kept = block.Memory;
        pool.Return(block);

        Assert.Equal([0xDB, 0xDB, 0xDB, 0xDB, 0xDB, 0xDB], kept.ToArray());
    }

    [Fact]
    public void A_write_after_the_return_is_found_when_the_buffer_comes_round()
    {
        var pool = new BlockPool(poison: true);
        var block = pool.Rent(1);
        pool.Return(block);
        block.Bytes[17] = 1;

        var error = Assert.Throws<InvalidOperationException>(() =>
        {
            for (var i = 0; i < 1_000; i++)
                pool.Return(pool.Rent(1));
        });
        Assert.Contains("at byte 17", error.Message);
    }

    [Theory]
    [InlineData(1, BlockPool.SmallBytes)]
    [InlineData(BlockPool.SmallBytes + 1, BlockPool.MediumBytes)]
    [InlineData(BlockPool.LargeBytes, BlockPool.LargeBytes)]
    [InlineData(BlockPool.LargeBytes + 1, BlockPool.LargeBytes + 1)]
    public void A_buffer_is_as_large_as_its_class_and_above_64_KiB_as_asked(int asked, int given)
    {
        var pool = new BlockPool(poison: false);
        var block = pool.Rent(asked);
        Assert.Equal(given, block.Bytes.Length);
        Assert.Equal(1, pool.Outstanding);
        pool.Return(block);
        Assert.Equal(0, pool.Outstanding);
    }

    [Fact]
    public void What_the_pool_keeps_is_bounded()
    {
        var pool = new BlockPool(poison: false);
        var blocks = Enumerable.Range(0, 10_000).Select(_ => pool.Rent(1)).ToList();
        blocks.ForEach(pool.Return);

        Assert.Equal(16 * 1024 * 1024, pool.KeptBytes);
    }
}
