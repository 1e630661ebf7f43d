using System.Net;
using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Orders of events that a reader meets once in a million times, brought about on purpose.</summary>
[Collection("alone")]
public sealed class ReaderRaceTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_cancellation_that_came_too_late_for_its_read_does_not_hit_the_next(EngineKind engine)
    {
        using var tooLate = new CancellationTokenSource();
        var reading = new TaskCompletionSource<LoopConnection>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            var buffer = new byte[8];
            await c.ReceiveExactlyAsync(buffer.AsMemory(0, 1));
            var first = c.ReceiveAsync(buffer, tooLate.Token);
            reading.SetResult((LoopConnection)c);
            Assert.Equal(1, await first);
            Assert.Equal(1, await c.ReceiveAsync(buffer));
            await c.SendAsync(buffer.AsMemory(0, 1));
        });
        await using var client = await server.ConnectAsync();
        await client.SendAsync("0"u8.ToArray());
        var here = await reading.Task.InTime();
        using (here.Loop.Hold())
        {
            await client.SendAsync("1"u8.ToArray());
            await Limits.UntilAsync(() => client.GetTcpInfo().Unacked == 0, "not there");
            await tooLate.CancelAsync();
        }

        await Limits.UntilAsync(() => here is { BytesReceived: 2, BytesHeld: 0 }, "the first read did not end");
        await client.SendAsync("2"u8.ToArray());
        Assert.Equal("2"u8.ToArray(), await Limits.ReadToEndAsync(client));
        Assert.Equal(0, server.Statistics.HandlerFaults);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Looking_and_then_waiting_off_the_loop_is_one_reader(EngineKind engine)
    {
        const int Bytes = 40_000;
        await using var server = Served.Start(engine, async c =>
        {
            var random = new Random(5);
            for (var expected = 0; expected < Bytes;)
            {
                if (!c.Input.TryRead(out var result))
                {
                    Thread.SpinWait(random.Next(200));
                    result = await c.Input.ReadAsync();
                }

                foreach (var part in result.Buffer)
                    foreach (var value in part.Span)
                        Assert.Equal((byte)expected++, value);
                c.Input.AdvanceTo(result.Buffer.End);
            }

            await c.SendAsync("!"u8.ToArray());
        }, o => o.Dispatch = Dispatch.ThreadPool);
        await using var client = await server.ConnectAsync();
        for (var i = 0; i < Bytes; i++)
            await client.SendAsync(new[] { (byte)i });
        Assert.Equal(1, await client.ReceiveAsync(new byte[1], Limits.Soon));
    }

    /// <summary>Over epoll the descriptor is free at once; io_uring lets go of it a turn later.</summary>
    [Fact]
    public async Task A_read_that_comes_after_the_end_takes_no_byte_of_who_has_the_descriptor_now()
    {
        var options = new TransportOptions();
        options.Set(EngineKind.Epoll);
        using var listener = SocketServer.Listen("tcp://127.0.0.1:0", options);
        var accepting = listener.AcceptAsync(Limits.Soon);
        await using var client = await SocketClient.ConnectAsync(listener.Endpoint,
            o => o.Transport.Engine = EngineKind.Managed);
        var here = (LoopConnection)await accepting;
        here.EndInputFor(CloseReason.Drain);
        var others = new List<Socket>();
        Task<int> reading;
        using (here.Loop.Hold())
        {
            here.Abort();
            here.Loop.Post(_ => Take(here.Fd, others), null);
            reading = here.ReceiveAsync(new byte[1], Limits.Soon).AsTask();
        }

        await Assert.ThrowsAsync<ConnectionException>(() => reading.InTime());
        var available = others[^1].Available;
        others.ForEach(o => o.Dispose());
        Assert.Equal(1, available);
    }

    /// <summary>The last one has one byte to read, and the descriptor that was just freed.</summary>
    private static void Take(int fd, List<Socket> sockets)
    {
        do
            sockets.Add(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp));
        while (sockets[^1].Handle != fd && sockets.Count < 100);
        using var passive = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        passive.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        passive.Listen(1);
        sockets[^1].Connect(passive.LocalEndPoint!);
        using var peer = passive.Accept();
        peer.Send(new byte[1]);
        sockets[^1].Poll(1_000_000, SelectMode.SelectRead);
    }
}
