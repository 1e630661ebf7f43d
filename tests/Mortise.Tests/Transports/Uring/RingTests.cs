using System.Diagnostics;
using System.Net.Sockets;
using Mortise.Transports.Kernel;
using Mortise.Transports.Uring;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Transports.Uring;

/// <summary>The two queues and the buffers of io_uring against the real kernel, with numbers small enough to run
/// out.</summary>
public sealed class RingTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(10);

    public RingTests() => Assert.SkipUnless(UringProbe.Failure is null, $"io_uring: {UringProbe.Failure}");

    [Fact]
    public void One_receive_goes_on_until_the_peer_ends_and_every_byte_is_in_a_buffer_of_ours()
    {
        using var ring = new Ring(8);
        var pool = new BlockPool(poison: true);
        using (var buffers = new BufferRing(ring, pool, slotsStart: 4, slotsMax: 4))
        using (var pair = new SocketPairOfTest())
        {
            Assert.Equal(0, pool.Outstanding); // what is only offered belongs to nobody
            ring.Receive(pair.HereFd, buffers.Group, userData: 7);
            ring.Submit();
            for (var round = 0; round < 10; round++)
            {
                pair.Peer.Send([(byte)round, 1, 2]);
                var (result, flags) = TakeOne(ring, 7);
                Assert.Equal((3, UringAbi.CqeMore), (result, flags & UringAbi.CqeMore));
                var block = buffers.Take(flags, result);
                Assert.Equal([(byte)round, 1, 2], block.Memory.ToArray());
                Assert.Equal(1, pool.Outstanding);
                pool.Return(block);
            }
            pair.Peer.Shutdown(SocketShutdown.Send);
            var (end, last) = TakeOne(ring, 7);
            Assert.Equal((0, 0u), (end, last & UringAbi.CqeMore));
        }
        Assert.Equal(0, pool.Outstanding);
    }

    [Fact]
    public void Running_out_of_buffers_ends_the_receive_with_ENOBUFS_and_wider_it_goes_on_without_a_loss()
    {
        using var ring = new Ring(8, 64);
        var pool = new BlockPool(poison: false);
        using var buffers = new BufferRing(ring, pool, slotsStart: 2, slotsMax: 8);
        using var pair = new SocketPairOfTest();
        var sent = new byte[6 * BlockPool.MediumBytes];
        new Random(1).NextBytes(sent);
        Assert.Equal(sent.Length, pair.Peer.Send(sent));

        var received = new List<byte>();
        var starved = 0;
        ring.Receive(pair.HereFd, buffers.Group, userData: 1);
        while (received.Count < sent.Length)
        {
            ring.SubmitAndWait(1, Limit);
            Assert.NotEqual(0u, ring.Ready);
            for (var left = ring.Ready; left > 0; left--)
            {
                var completion = ring.Take();
                if (completion.Result > 0)
                {
                    var block = buffers.Take(completion.Flags, completion.Result);
                    received.AddRange(block.Memory.Span);
                    pool.Return(block);
                }
                if ((completion.Flags & UringAbi.CqeMore) != 0)
                    continue;
                if (completion.Result == -105)
                {
                    starved++;
                    buffers.Widen();
                }
                ring.Receive(pair.HereFd, buffers.Group, userData: 1);
            }
        }
        Assert.Equal(sent, received);
        Assert.InRange(starved, 1, 3);
        Assert.InRange(buffers.Slots, 4, 8);
    }

    [Fact]
    public void More_completions_than_the_queue_holds_wait_in_the_kernel_and_none_is_lost()
    {
        using var ring = new Ring(submissions: 8, completions: 16);
        for (var target = 1ul; target <= 100; target++)
            ring.Cancel(target: 1_000_000, userData: target);
        ring.Submit();
        Assert.True(ring.Overflowed);
        Assert.True(ring.MustEnter);

        var seen = new List<ulong>();
        while (seen.Count < 100)
        {
            ring.SubmitAndWait(1, Limit);
            Assert.NotEqual(0u, ring.Ready);
            for (var left = ring.Ready; left > 0; left--)
                seen.Add(ring.Take().UserData);
        }
        Assert.Equal(Enumerable.Range(1, 100).Select(n => (ulong)n), seen);
        Assert.False(ring.Overflowed);
    }

    [Fact]
    public void A_full_queue_is_submitted_in_the_middle_and_order_is_kept()
    {
        using var ring = new Ring(submissions: 4, completions: 1024);
        for (var target = 1ul; target <= 500; target++)
            ring.Cancel(target: 1_000_000, userData: target);
        ring.SubmitAndWait(500, Limit);
        for (var expected = 1ul; expected <= 500; expected++)
            Assert.Equal(expected, ring.Take().UserData);
        Assert.Equal((0u, 0u), (ring.Ready, ring.Pending));
    }

    [Fact]
    public void A_cancelled_receive_completes_once_and_leaves_the_descriptor_usable()
    {
        using var ring = new Ring(8);
        using var buffers = new BufferRing(ring, new BlockPool(poison: false), slotsStart: 2, slotsMax: 2);
        using var pair = new SocketPairOfTest();
        ring.Receive(pair.HereFd, buffers.Group, userData: 1);
        ring.Cancel(target: 1, userData: 2);
        ring.SubmitAndWait(2, Limit);
        var results = new[] { ring.Take(), ring.Take() }.ToDictionary(c => c.UserData, c => c.Result);
        Assert.Equal((-125, 0), (results[1], results[2]));
        Assert.Equal(0u, ring.Ready);

        pair.Peer.Send([9]);
        Assert.Equal(1, pair.Here.Receive(new byte[4]));
    }

    [Fact]
    public void The_probe_names_the_call_the_error_and_the_likely_reason()
    {
        Assert.Null(UringProbe.Probe());
        Assert.Equal("io_uring_setup: ENOSYS (this kernel has no io_uring, or a seccomp filter hides it)",
            UringProbe.Because("io_uring_setup", 38));
        Assert.StartsWith("io_uring_setup: EPERM (", UringProbe.Because("io_uring_setup", 1));
        Assert.Contains("too old: 6.1", UringProbe.Because("IORING_REGISTER_PBUF_RING", 22));
    }

    [Fact]
    public void A_program_that_is_started_inherits_no_ring()
    {
        using var ring = new Ring(8);
        Assert.Contains("io_uring", new FileInfo($"/proc/self/fd/{ring.Fd}").LinkTarget);
        var start = new ProcessStartInfo("ls", ["-l", "/proc/self/fd"]) { RedirectStandardOutput = true };
        using var child = Process.Start(start)!;
        var listing = child.StandardOutput.ReadToEnd();
        Assert.Contains("/proc/", listing);
        Assert.DoesNotContain("io_uring", listing);
    }

    [Fact]
    public void Disposed_rings_leave_no_descriptor_and_no_mapping()
    {
        // Other tests have rings of their own meanwhile, so a leak is what grows with the number made here.
        static int Left() => File.ReadLines("/proc/self/maps").Count(line => line.Contains("io_uring"))
            + Directory.GetFiles("/proc/self/fd").Count(f => new FileInfo(f).LinkTarget?.Contains("io_uring") == true);
        var before = Left();
        for (var i = 0; i < 200; i++)
        {
            using var ring = new Ring(8);
            using var buffers = new BufferRing(ring, new BlockPool(poison: false), slotsStart: 2, slotsMax: 2);
        }
        Assert.InRange(Left(), 0, before + 60);
    }

    private static (int Result, uint Flags) TakeOne(Ring ring, ulong userData)
    {
        ring.SubmitAndWait(1, Limit);
        Assert.Equal(1u, ring.Ready);
        var completion = ring.Take();
        Assert.Equal(userData, completion.UserData);
        return (completion.Result, completion.Flags);
    }
}
