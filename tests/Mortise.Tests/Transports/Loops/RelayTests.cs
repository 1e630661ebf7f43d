using System.Security.Cryptography;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Pipes;
using Mortise.Transports.Uring;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>A proxy is two copies: all bytes, both ends, and no more memory than a few blocks.</summary>
[Collection("alone")]
public sealed class RelayTests
{
    private const int Chunk = 1 << 20;
    private readonly long _before = BlockPool.Shared.Outstanding;

    /// <summary>True: the onward connection lives on another loop than its source.</summary>
    public static TheoryData<EngineKind, bool> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, bool>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
            {
                cases.Add(engine, false);
                cases.Add(engine, true);
            }

            return cases;
        }
    }

    /// <summary>What the kernel has put into io_uring's buffers before it hears of a pause comes on top.</summary>
    private static int BlocksMax(EngineKind engine) =>
        engine == EngineKind.IoUring ? 100 + BufferRing.SlotsMaxDefault : 100;

    private long Held => BlockPool.Shared.Outstanding - _before;

    [Theory, MemberData(nameof(Cases))]
    public async Task A_proxy_passes_all_bytes_and_the_half_close_and_then_the_answer(EngineKind engine, bool across)
    {
        await using (var far = Served.Start(engine, AnswerSumAsync))
        await using (var proxy = StartProxy(engine, across, far.Endpoints[0]))
        {
            await using var client = await proxy.ConnectAsync();
            using var sum = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var chunk = Limits.Bytes(Chunk);
            var most = 0L;
            for (var i = 0; i < 64; i++)
            {
                chunk[0] = (byte)i;
                sum.AppendData(chunk);
                await client.SendAsync(chunk);
                most = Math.Max(most, Held);
            }

            await client.ShutdownSendAsync();
            Assert.Equal(sum.GetHashAndReset(), await Limits.ReadToEndAsync(client));
            Assert.InRange(most, 0, 2 * BlocksMax(engine));
        }

        await Limits.UntilAsync(() => Held <= 0, "buffers are left");
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_receiver_that_stalls_holds_back_the_sender_and_loses_nothing(EngineKind engine, bool across)
    {
        using var far = SocketServer.Listen("tcp://127.0.0.1:0",
            new TransportOptions { Engine = EngineKind.Managed, ReceiveBufferBytes = 64 * 1024 });
        await using var proxy = StartProxy(engine, across, far.Endpoint,
            o => o.Transport.ReceiveBufferBytes = 64 * 1024);
        await using var client = await proxy.ConnectAsync();
        await using var stalled = await far.AcceptAsync(Limits.Soon);
        var all = Limits.Bytes(64 << 20);
        var sending = Task.Run(async () =>
        {
            await client.SendAsync(all);
            await client.ShutdownSendAsync();
        });
        await StandstillAsync(() => client.BytesSent + proxy.Connections.Sum(c => c.BytesReceived));
        Assert.False(sending.IsCompleted);
        Assert.InRange(Held, 1, BlocksMax(engine));
        var read = await Limits.ReadToEndAsync(stalled);
        await sending.InTime();
        Assert.True(all.AsSpan().SequenceEqual(read));
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_reset_of_either_side_ends_the_other(EngineKind engine, bool across)
    {
        using var far = SocketServer.Listen("tcp://127.0.0.1:0");
        await using var proxy = StartProxy(engine, across, far.Endpoint);
        for (var i = 0; i < 20; i++)
        {
            await using var client = await proxy.ConnectAsync();
            await using var behind = await far.AcceptAsync(Limits.Soon);
            await client.SendAsync(new byte[1000 * i]);
            if (i % 4 > 1)
                await behind.SendAsync(new byte[1000 * i]);
            var (dies, sees) = i % 2 == 0 ? (client, behind) : (behind, client);
            dies.Abort();
            var buffer = new byte[4096];
            var error = await Record.ExceptionAsync(async () =>
            {
                while (await sees.ReceiveAsync(buffer, Limits.Soon) > 0)
                {
                }
            });
            Assert.True(error is null or ConnectionException, error?.ToString());
        }

        await Limits.UntilAsync(() => proxy.Statistics.Current == 0, "a handler is left");
        Assert.Equal(0, proxy.Statistics.HandlerFaults);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_cancelled_copy_leaves_what_it_did_not_take_and_the_next_goes_on(EngineKind engine)
    {
        var cancelled = new SemaphoreSlim(0);
        await using var server = Served.Start(engine, async c =>
        {
            for (var i = 0; i < 3; i++)
            {
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => c.Input.CopyToAsync(c.Output, c.Closed));
                cancelled.Release();
            }

            await c.Input.CopyToAsync(c.Output, c.Closed);
        });
        await using var client = await server.ConnectAsync();
        for (var i = 0; i < 3; i++)
        {
            await client.SendAsync(new[] { (byte)i });
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            server.Connections[0].Input.CancelPendingRead();
            Assert.True(await cancelled.WaitAsync(Limits.Time));
        }

        await client.SendAsync("end"u8.ToArray());
        await client.ShutdownSendAsync();
        Assert.Equal("end"u8.ToArray(), await Limits.ReadToEndAsync(client));
        Assert.Equal(0, server.Statistics.HandlerFaults);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Two_sources_of_one_stalled_destination_both_go_on_when_it_reads(EngineKind engine)
    {
        const int Each = 8 << 20;
        Connection? destination = null;
        var ready = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            if (Interlocked.CompareExchange(ref destination, c, null) is { } sink)
            {
                await c.Input.CopyToAsync(sink.Output);
                return;
            }

            ready.SetResult();
            await c.Input.CopyToAsync(Stream.Null);
        }, o => o.Transport.Loops = 1);
        await using var reader = await server.ConnectAsync();
        await ready.Task.InTime();
        var sources = new[] { await server.ConnectAsync(), await server.ConnectAsync() };
        var sending = Task.WhenAll(sources.Select(s => Task.Run(async () =>
        {
            await s.SendAsync(new byte[Each]);
            await s.ShutdownSendAsync();
        })));
        await StandstillAsync(() => server.Connections.Sum(c => c.BytesReceived));
        var buffer = new byte[1 << 18];
        for (var received = 0; received < 2 * Each;)
            received += await reader.ReceiveAsync(buffer, Limits.Soon);
        await sending.InTime();
        foreach (var source in sources)
            await source.DisposeAsync();
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_close_ends_the_copies_of_both_sides(EngineKind engine, bool across)
    {
        await using var far = Served.Start(engine, c => c.Input.CopyToAsync(c.Output));
        await using var proxy = StartProxy(engine, across, far.Endpoints[0], o => o.CloseLinger = TimeSpan.Zero);
        for (var i = 0; i < 20; i++)
        {
            await using var client = await proxy.ConnectAsync();
            await client.SendAsync(new byte[100]);
            await client.ReceiveExactlyAsync(new byte[100], Limits.Soon);
            await proxy.Connections[0].CloseAsync(CloseReason.Local, Limits.Time, TimeSpan.Zero).AsTask().InTime();
            await Limits.UntilAsync(() => proxy.Statistics.Current == 0, "the proxy's handler is left");
        }

        await Limits.UntilAsync(() => far.Statistics.Current == 0, "the far handler is left");
        Assert.Equal(0, proxy.Statistics.HandlerFaults);
    }

    /// <summary>The proxy of ten lines.</summary>
    private static SocketServer StartProxy(EngineKind engine, bool across, Endpoint onwardTo,
        Action<ServerOptions>? more = null) => Served.Start(engine, async c =>
        {
            await using var onward = await SocketClient.ConnectAsync(onwardTo, o =>
            {
                o.Transport.Set(engine);
                o.Transport.Loops = across ? 1 : 2;
            });
            await Task.WhenAll(PassAsync(c, onward), PassAsync(onward, c));
        }, more);

    private static async Task PassAsync(Connection from, Connection to)
    {
        try
        {
            await from.Input.CopyToAsync(to.Output);
            await to.ShutdownSendAsync();
        }
        catch (ConnectionException)
        {
            from.Abort();
            to.Abort();
        }
    }

    /// <summary>The far end: what came is answered with its checksum.</summary>
    private static async Task AnswerSumAsync(Connection connection)
    {
        using var sum = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        while (true)
        {
            var result = await connection.Input.ReadAsync();
            foreach (var part in result.Buffer)
                sum.AppendData(part.Span);
            connection.Input.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
                break;
        }

        await connection.SendAsync(sum.GetHashAndReset());
    }

    /// <summary>No event says that all the kernel's buffers on the way are full.</summary>
    private static async Task StandstillAsync(Func<long> moved)
    {
        for (long before = -1, now = moved(); now == 0 || now != before; now = moved())
        {
            before = now;
            await Task.Delay(150);
        }
    }
}
