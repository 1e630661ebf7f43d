using System.Diagnostics;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Bytes that come one by one, or are not read: what they cost in memory.</summary>
[Collection("alone")]
public sealed class DripTests
{
    private const int Drops = 3_000;
    private const int BlocksMax = 12;
    private readonly long _before = BlockPool.Shared.Outstanding;

    private long Held => BlockPool.Shared.Outstanding - _before;

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_frame_that_drips_in_holds_a_few_blocks(EngineKind engine)
    {
        var got = new TaskCompletionSource<int>();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Frames(Framing.Parse("len:4")), (_, m) =>
        {
            got.TrySetResult(m.Length);
            return default;
        }, o => o.Transport.Set(engine));
        await using var client = await server.ConnectAsync();
        await client.SendAsync(new byte[] { 0, 0, Drops >> 8, Drops & 255 });
        await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: 4 }], "no header");
        var most = await DripAsync(server.Connections[0], client, Drops);
        Assert.Equal(Drops, await got.Task.InTime());
        Assert.InRange(most, 0, BlocksMax);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task An_echo_that_nobody_reads_holds_a_few_blocks_however_small_its_pieces(EngineKind engine)
    {
        await using var server = Served.Start(engine, c => c.Input.CopyToAsync(c.Output, c.Closed),
            o => o.Transport.SendBufferBytes = 4096);
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], o =>
            (o.Transport.Engine, o.Transport.ReceiveBufferBytes) = (EngineKind.Managed, 4096));
        await Limits.UntilAsync(() => server.Connections.Count == 1, "not accepted");
        var there = server.Connections[0];
        var sent = 0;
        while (there.BytesQueued == 0)
        {
            await client.SendAsync(new byte[4096]);
            sent += 4096;
            await Limits.UntilAsync(() => there.BytesReceived == sent, "lost");
            if (sent < 16384)
                continue;
            await Task.Delay(1);
        }

        var most = await DripAsync(there, client, Drops);
        Assert.InRange(most, 0, BlocksMax);
        Assert.Equal(sent + Drops, await DrainAsync(client, sent + Drops));
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_mebibyte_frame_in_small_pieces_passes_and_costs_not_much_more_than_itself(EngineKind engine)
    {
        const int Frame = 1 << 20, Piece = 1_500;
        var got = new TaskCompletionSource<byte[]>();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Frames(Framing.Parse("len:4")), (_, m) =>
        {
            got.TrySetResult(m.ToArray());
            return default;
        }, o => o.Transport.Set(engine));
        await using var client = await server.ConnectAsync();
        await client.SendAsync(new byte[] { 0, Frame >> 16, 0, 0 });
        await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: 4 }], "no header");
        var there = server.Connections[0];
        var frame = Limits.Bytes(Frame);
        var most = 0L;
        for (var at = 0; at < Frame; at += Piece)
        {
            await client.SendAsync(frame.AsMemory(at, Math.Min(Piece, Frame - at)));
            if (at % (10 * Piece) == 0)
                await Limits.UntilAsync(() => there.BytesReceived >= 4 + at, "lost");
            most = Math.Max(most, Held);
        }

        Assert.True((await got.Task.InTime()).AsSpan().SequenceEqual(frame));
        Assert.InRange(most, 0, 2 * Frame / BlockPool.MediumBytes + 32);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Who_never_reads_is_sent_no_more_than_it_can_hold(EngineKind engine)
    {
        var leave = new TaskCompletionSource();
        // Loops of its own: a ring that many connections have widened gives one of them more before it is paused.
        await using var server = Served.Start(engine, _ => leave.Task, o => o.Transport.Loops = 7);
        await using var client = await server.ConnectAsync();
        var sending = client.SendAsync(new byte[64 << 20]).AsTask();
        await Limits.UntilAsync(() => server.Connections is [{ BytesReceived: > 64 * 1024 }], "nothing came");
        var there = server.Connections[0];
        await SettledAsync(() => client.BytesSent);
        Assert.InRange(there.BytesHeld, 64 * 1024, 2 * 1024 * 1024); // a ring of 1 MiB, and what had begun
        Assert.False(sending.IsCompleted);
        Assert.InRange(Held, 1, 160);
        leave.SetResult();
        await Record.ExceptionAsync(() => sending.InTime());
    }

    /// <summary>Until the number has not changed for 50 ms: no event says that a kernel's buffer is full.</summary>
    private static async Task SettledAsync(Func<long> number)
    {
        var since = Stopwatch.StartNew();
        for (var before = -1L; before != number(); await Task.Delay(50))
        {
            before = number();
            Assert.True(since.Elapsed < Limits.Time, "it is never full");
        }
    }

    private async Task<long> DripAsync(Connection there, Connection client, int drops)
    {
        var most = 0L;
        var received = there.BytesReceived;
        for (var i = 1; i <= drops; i++)
        {
            await client.SendAsync(new byte[1]);
            AwaitReceived(there, received + i);
            most = Math.Max(most, Held);
        }

        return most;
    }

    private static void AwaitReceived(Connection there, long bytes) =>
        Assert.True(SpinWait.SpinUntil(() => there.BytesReceived >= bytes, Limits.Time), "lost");

    private static async Task<long> DrainAsync(Connection client, long bytes)
    {
        var buffer = new byte[65536];
        long received = 0;
        while (received < bytes)
            received += await client.ReceiveAsync(buffer, Limits.Soon);
        return received;
    }
}
