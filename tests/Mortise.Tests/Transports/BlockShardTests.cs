using System.Collections.Concurrent;
using System.Runtime.ExceptionServices;
using Mortise.Tests.Conformance;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>
/// What threads keep of the pool for themselves: nothing is lost, counted twice or kept without bound, whichever thread
/// rents, returns or dies. Threads of their own, because a thread has a shard of one pool only.
/// </summary>
public sealed class BlockShardTests
{
    private readonly BlockPool _pool = new(poison: false, perThread: true);

    [Fact]
    public void A_block_returned_is_the_next_one_rented_on_the_thread_and_pinned() => OnThread(() =>
    {
        _pool.Return(_pool.Rent(1));
        var first = _pool.Rent(1);
        _pool.Return(first);
        Assert.Same(first, _pool.Rent(1));
        Assert.Equal(GC.MaxGeneration, GC.GetGeneration(first.Bytes));
        Assert.Equal(0, GC.GetGeneration(new byte[BlockPool.SmallBytes]));
        Assert.Equal(1, _pool.Outstanding);
    });

    [Fact]
    public void A_second_return_is_refused_on_a_thread_with_a_shard() => OnThread(() =>
    {
        var block = _pool.Rent(1);
        _pool.Return(block);
        Assert.Throws<InvalidOperationException>(() => _pool.Return(block));
        Assert.Equal(0, _pool.Outstanding);
    });

    [Theory, InlineData(1), InlineData(5000), InlineData(60_000), InlineData(70_000)]
    public void What_one_thread_rents_others_may_return_and_the_sum_is_right(int bytes)
    {
        var blocks = new List<Block>();
        OnThread(() => blocks.AddRange(Enumerable.Range(0, 1000).Select(_ => _pool.Rent(bytes))));
        Assert.Equal(1000, _pool.Outstanding);
        OnThread(() => blocks[..300].ForEach(_pool.Return));
        Assert.Equal(700, _pool.Outstanding);
        OnThread(() => _pool.ForgetChain(blocks[300]));
        OnThread(() => blocks[301..].ForEach(_pool.Return));
        Assert.Equal(0, _pool.Outstanding);
    }

    [Fact]
    public void A_loop_keeps_what_it_asked_for_and_the_rest_goes_to_the_depot_in_halves() => OnThread(() =>
    {
        _pool.Adopt(blocksKept: 256);
        var blocks = Enumerable.Range(0, 400).Select(_ => _pool.Rent(BlockPool.MediumBytes)).ToList();
        blocks.ForEach(_pool.Return);
        Assert.Equal(256, _pool.Depot(1).Count);   // twice 128, when the 257th and the 385th came
        Assert.Equal(400 * BlockPool.MediumBytes, _pool.KeptBytes);
        Assert.Equal(blocks.ToHashSet(), Enumerable.Range(0, 400).Select(_ => _pool.Rent(BlockPool.MediumBytes))
            .ToHashSet());
        Assert.Equal(0, _pool.KeptBytes);
    });

    [Fact]
    public void What_is_kept_is_bounded_by_the_depot_and_the_thread() => OnThread(() =>
    {
        var blocks = Enumerable.Range(0, 10_000).Select(_ => _pool.Rent(1)).ToList();
        blocks.ForEach(_pool.Return);
        Assert.InRange(_pool.KeptBytes, 16 << 20, (16 << 20) + 2 * BlockPool.SmallBytes);
    });

    [Fact]
    public void A_trim_empties_the_depots_at_once_and_a_loop_when_it_comes_to_it() => OnThread(() =>
    {
        var posted = new Queue<(SendOrPostCallback Work, object? State)>();
        _pool.Adopt(256, (work, state) => posted.Enqueue((work, state)));
        var blocks = Enumerable.Range(0, 1000).Select(_ => _pool.Rent(BlockPool.MediumBytes)).ToList();
        blocks.GetRange(1, 999).ForEach(_pool.Return);
        Assert.NotEqual(0, _pool.Depot(1).Count);
        _pool.Trim();
        Assert.InRange(_pool.KeptBytes, BlockPool.MediumBytes, 256 * BlockPool.MediumBytes);
        var (work, state) = Assert.Single(posted);
        work(state);
        Assert.Equal(0, _pool.KeptBytes);
        Assert.Equal(1, _pool.Outstanding);
        _pool.Return(blocks[0]);
        Assert.Same(blocks[0], _pool.Rent(BlockPool.MediumBytes));
    });

    [Fact]
    public async Task Threads_that_come_and_go_leave_their_blocks_and_their_count()
    {
        var held = new List<Block>();
        for (var i = 0; i < 200; i++)
        {
            OnThread(() =>
            {
                Block[] two = [_pool.Rent(1), _pool.Rent(1), _pool.Rent(1)];
                held.Add(two[0]);
                _pool.Return(two[1]);
                _pool.Return(two[2]);
            });
        }

        Assert.Equal(200, _pool.Outstanding);   // right before the collector has come, too
        await Limits.UntilAsync(() =>
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
            return _pool.Shards == 0;
        }, "shards of dead threads are left");
        Assert.Equal(200, _pool.Outstanding);
        Assert.Equal(_pool.Depot(0).Count * BlockPool.SmallBytes, _pool.KeptBytes);
        Assert.InRange(_pool.Depot(0).Count, 2, 400);
        OnThread(() => held.ForEach(_pool.Return));
        Assert.Equal(0, _pool.Outstanding);
    }

    [Fact]
    public void Many_threads_at_once_lose_nothing_and_share_nothing()
    {
        var between = new ConcurrentQueue<Block>();
        OnThreads(8, i =>
        {
            var random = new Random(i);
            for (var round = 0; round < 20_000; round++)
            {
                if (random.Next(2) == 0)
                {
                    var block = _pool.Rent(random.Next(1, 70_000));
                    block.Fill(1);   // a block that two hold would be filled twice
                    Assert.Equal(1, block.Filled);
                    between.Enqueue(block);
                }
                else if (between.TryDequeue(out var theirs))
                {
                    Assert.Equal(1, theirs.Filled);
                    _pool.Return(theirs);
                }
            }
        });
        Assert.Equal(between.Count, _pool.Outstanding);
        OnThread(() => between.ToList().ForEach(_pool.Return));
        Assert.Equal(0, _pool.Outstanding);
    }

    private static void OnThread(Action test) => OnThreads(1, _ => test());

    private static void OnThreads(int count, Action<int> test)
    {
        var failures = new ConcurrentQueue<Exception>();
        var threads = Enumerable.Range(0, count).Select(i => new Thread(() =>
        {
            try
            {
                test(i);
            }
            catch (Exception e)
            {
                failures.Enqueue(e);
            }
        })).ToList();
        threads.ForEach(t => t.Start());
        threads.ForEach(t => t.Join());
        if (failures.TryPeek(out var failure))
            ExceptionDispatchInfo.Throw(failure);
    }
}
