using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>Bytes arrive whole, in order, at any size, under any reader; on every transport alike.</summary>
[Collection("alone")]
public sealed class StreamTests
{
    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Every_size_comes_back_byte_for_byte(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var echo = rig.Server.Input.CopyToAsync(rig.Server.Output, rig.Server.Closed);
        int[] sizes = [0, 1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537, 8 << 20];
        foreach (var size in sizes)
        {
            var sent = Limits.Bytes(size, size);
            var back = new byte[size];
            var receiving = rig.Client.ReceiveExactlyAsync(back, Limits.Soon);
            await rig.Client.SendAsync(sent, Limits.Soon);
            await receiving;
            Assert.True(sent.AsSpan().SequenceEqual(back), $"{size} bytes differ");
        }

        await rig.Client.ShutdownSendAsync();
        await echo.InTime();
        Row.Observed("I01", $"{name}: {sizes.Length} sizes from 0 B to 8 MiB echoed byte-exact");
        Row.Observed("I23", $"{name}: NUL, 0xFF and 8 MiB of random bytes echoed byte-exact");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Pieces_of_random_size_arrive_in_order(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var all = Limits.Bytes(1 << 20, 7);
        var random = new Random(7);
        var sending = Task.Run(async () =>
        {
            for (var at = 0; at < all.Length;)
            {
                var bytes = Math.Min(random.Next(1, 5000), all.Length - at);
                await rig.Client.SendAsync(all.AsMemory(at, bytes));
                at += bytes;
            }

            await rig.Client.ShutdownSendAsync();
        });
        Assert.Equal(all, await Limits.ReadToEndAsync(rig.Server));
        await sending.InTime();
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_slow_reader_gets_everything_although_single_writes_are_partial(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 4096);
        var sent = Limits.Bytes(1 << 20, 3);
        var sending = rig.Client.SendAsync(sent).AsTask();
        await Limits.UntilAsync(() => rig.Client.BytesSent > 0, "nothing was ever sent");
        Assert.False(sending.IsCompleted, "1 MiB fitted into the kernel at once, so nothing was partial");
        var taken = rig.Client.BytesSent;
        Assert.InRange(taken, 1, sent.Length - 1);
        var back = new byte[sent.Length];
        for (var at = 0; at < back.Length;)
            at += await rig.Server.ReceiveAsync(back.AsMemory(at, Math.Min(3000, back.Length - at)), Limits.Soon);
        await sending.InTime();
        Assert.Equal(sent, back);
        Row.Observed("I03", $"{name}: the kernel took {taken} of {sent.Length} bytes at first; SendAsync went on until "
            + "all had gone, and all arrived");
        Row.Observed("Z30", $"{name}: a write may take less than asked, here {taken} of {sent.Length}");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Memory_that_was_asked_for_and_given_up_holds_nothing_back(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        for (var i = 0; i < 20; i++)
        {
            rig.Client.Output.GetMemory(10);
            rig.Client.Output.GetMemory(60_000).Span[..100].Fill((byte)i);
            rig.Client.Output.Advance(100);
            await rig.Client.Output.FlushAsync(Limits.Soon);
        }

        await rig.Client.ShutdownSendAsync();
        var received = await Limits.ReadToEndAsync(rig.Server);
        Assert.Equal([.. Enumerable.Range(0, 2000).Select(i => (byte)(i / 100))], received);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_stalled_reader_bounds_what_is_held(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var message = Limits.Bytes(64 * 1024, 5);
        var sends = 0;
        var sending = Task.Run(async () =>
        {
            for (; sends < 200; sends++)
                await rig.Client.SendAsync(message);
        });
        await Limits.UntilAsync(() => rig.Client.BytesQueued > 0, "nothing was ever queued");
        await Task.Delay(100);
        Assert.False(sending.IsCompleted);
        // TLS encrypts 64 KiB ahead of the kernel.
        Assert.InRange(rig.Client.BytesQueued, 1, (rig.IsTls ? 2 * message.Length + 20_000 : message.Length));
        // An engine that receives ahead holds 64 KiB or 8 blocks, and what was on its way when it paused.
        Assert.InRange(rig.BuffersHeld, 0, (rig.Server.ReceivesAhead ? 16 : 4) + (rig.IsTls ? 8 : 0));
        var back = new byte[200 * message.Length];
        await rig.Server.ReceiveExactlyAsync(back, Limits.Soon);
        await sending.InTime();
        Assert.Equal(message, back[^message.Length..]);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task An_idle_connection_holds_no_buffer(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("ping"u8.ToArray());
        var one = new byte[4];
        await rig.Server.ReceiveExactlyAsync(one, Limits.Soon);
        var waiting = rig.Server.ReceiveAsync(one, Limits.Soon).AsTask();
        // Where an engine receives ahead, the server's tickets for resumption wait until the client reads.
        var alsoWaiting = rig.Client.ReceiveAsync(one, Limits.Soon).AsTask();
        await Limits.UntilAsync(() => rig.BuffersHeld <= 0, $"{rig.BuffersHeld} buffers are held by idle connections");
        Assert.Equal(0, rig.Server.BytesHeld);
        await rig.Client.ShutdownSendAsync();
        Assert.Equal(0, await waiting.InTime());
        await rig.Server.ShutdownSendAsync();
        Assert.Equal(0, await alsoWaiting.InTime());
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Frames_of_eight_threads_stay_whole_and_in_each_threads_order(string name)
    {
        const int Threads = 8, Each = 10_000;
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = 16 * 1024);
        var codec = Codec.LengthPrefixed(sizeBytes: 4);
        var session = new Session<ReadOnlyMemory<byte>>(rig.Client, codec);
        var senders = Enumerable.Range(0, Threads).Select(thread => Task.Run(async () =>
        {
            for (var number = 0; number < Each; number++)
            {
                var frame = new byte[8 + (number % 97)];
                frame.AsSpan().Fill((byte)(thread + number));
                BitConverter.TryWriteBytes(frame, thread);
                BitConverter.TryWriteBytes(frame.AsSpan(4), number);
                await session.SendAsync(frame);
            }
        })).ToArray();
        var next = new int[Threads];
        var received = 0;
        await foreach (var frame in new Session<ReadOnlyMemory<byte>>(rig.Server, codec).Messages)
        {
            Check(frame.Span, next);
            if (++received == Threads * Each)
                break;
            if (received % 20_000 == 0)
                await Task.Delay(5);
        }

        await Task.WhenAll(senders).InTime();
        Assert.All(next, n => Assert.Equal(Each, n));
        Row.Observed("I21", $"{name}: {Threads} threads × {Each} frames on one connection, {received} received intact, "
            + "each thread's in order");
    }

    private static void Check(ReadOnlySpan<byte> frame, int[] next)
    {
        var thread = BitConverter.ToInt32(frame);
        var number = BitConverter.ToInt32(frame[4..]);
        Assert.Equal(next[thread]++, number);
        Assert.Equal(8 + (number % 97), frame.Length);
        Assert.Equal(-1, frame[8..].IndexOfAnyExcept((byte)(thread + number)));
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task More_buffers_than_one_system_call_takes_are_sent(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        const int Blocks = 3000;
        for (var i = 0; i < Blocks; i++)
        {
            rig.Client.Output.GetMemory(BlockPool.SmallBytes).Span[..BlockPool.SmallBytes].Fill((byte)i);
            rig.Client.Output.Advance(BlockPool.SmallBytes);
        }

        var flushing = rig.Client.Output.FlushAsync().AsTask();
        var back = new byte[Blocks * BlockPool.SmallBytes];
        await rig.Server.ReceiveExactlyAsync(back, Limits.Soon);
        await flushing.InTime();
        Assert.All(Enumerable.Range(0, Blocks), i => Assert.Equal((byte)i, back[(i + 1) * BlockPool.SmallBytes - 1]));
    }
}
