using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Connections by the thousand that end in every way there is: afterwards nothing is left.</summary>
[Collection("alone")]
public sealed class EndsTests
{
    private const int Clients = 10, Rounds = 5_000 / Clients;

    private enum Ending { ClientFin, ServerFin, HalfThenEcho, ClientReset, ServerReset, Throw, ClosedAtOnce, Midway }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Five_thousand_random_ends_leave_nothing_and_change_no_byte(EngineKind engine)
    {
        var buffers = BlockPool.Shared.Outstanding;
        var sockets = Limits.OpenSockets();
        var over = 0;
        var unobserved = 0;
        void OnUnobserved(object? sender, UnobservedTaskExceptionEventArgs e) => Interlocked.Increment(ref unobserved);
        TaskScheduler.UnobservedTaskException += OnUnobserved;
        await using (var server = Served.Start(engine, ServeAsync, o =>
        {
            o.CloseLinger = TimeSpan.FromSeconds(1);
            o.OnAccepted = c => c.Closed.Register(() => Interlocked.Increment(ref over));
        }))
        {
            var place = (IPEndPoint)server.Endpoints[0].ToSocketEndPoint()!;
            await Task.WhenAll(Enumerable.Range(1, Clients).Select(seed => Task.Run(() => RushAsync(place, seed))))
                .InTime();
            await Limits.UntilAsync(() => server.Statistics.Current == 0,
                $"{server.Statistics.Current} connections are left");
            await Limits.UntilAsync(() => over == server.Statistics.Accepted, "Closed was not cancelled for each");
            Assert.Equal(5_000, server.Statistics.Accepted);
            Assert.True(server.Statistics.HandlerFaults > 100);
        }

        await Limits.UntilAsync(() => Limits.OpenSockets() <= sockets, "descriptors are left");
        await Limits.UntilAsync(() => BlockPool.Shared.Outstanding <= buffers,
            $"{BlockPool.Shared.Outstanding - buffers} buffers are left");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        TaskScheduler.UnobservedTaskException -= OnUnobserved;
        Assert.Equal(0, unobserved);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Aborts_from_many_threads_end_it_once(EngineKind engine)
    {
        var cancelled = 0;
        var closed = 0;
        await using var server = Served.Start(engine, c => c.Input.CopyToAsync(c.Output), o =>
        {
            o.OnAccepted = c => c.Closed.Register(() => Interlocked.Increment(ref cancelled));
            o.OnClosed = _ => Interlocked.Increment(ref closed);
        });
        for (var i = 1; i <= 100; i++)
        {
            await using var client = await server.ConnectAsync();
            await client.SendAsync(new byte[1]);
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            var there = server.Connections[0];
            Parallel.For(0, 4, n =>
            {
                if (n < 2)
                    there.Abort(n == 0 ? CloseReason.Abort : CloseReason.Idle);
                else if (n == 2)
                    there.EndInputFor(CloseReason.Drain);
                else
                    _ = there.DisposeAsync().AsTask();
            });
            await Limits.UntilAsync(() => server.Statistics.Current == 0 && closed >= i && cancelled >= i, "left");
            Assert.Equal((i, i), (closed, cancelled));
        }
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_close_while_reading_and_writing_ends_both(EngineKind engine)
    {
        await using var server = Served.Start(engine, async c =>
        {
            var reading = c.ReceiveAsync(new byte[1]).AsTask();
            var writing = c.Output.WriteAsync(new byte[8 << 20], c.Closed).AsTask();
            await Task.WhenAny(reading, writing);
            Assert.NotNull(await Record.ExceptionAsync(() => writing) ?? await Record.ExceptionAsync(() => reading));
        });
        for (var i = 0; i < 10; i++)
        {
            await using var client = await server.ConnectAsync();
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            var there = server.Connections[0];
            await there.CloseAsync(CloseReason.Local, TimeSpan.FromMilliseconds(20), TimeSpan.Zero).AsTask().InTime();
            await Limits.UntilAsync(() => server.Statistics.Current == 0, "the handler is left");
            Assert.Equal(CloseReason.WriteStalled, there.CloseReason);
        }
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_descriptor_is_used_again_at_once_without_a_byte_of_its_past(EngineKind engine)
    {
        var descriptors = new HashSet<int>();
        await using var server = Served.Start(engine, c =>
        {
            lock (descriptors)
                descriptors.Add(((LoopConnection)c).Fd);
            return c.Input.CopyToAsync(c.Output);
        });
        var place = (IPEndPoint)server.Endpoints[0].ToSocketEndPoint()!;
        var buffer = new byte[4];
        for (var i = 0; i < 500; i++)
        {
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await socket.ConnectAsync(place);
            await socket.SendAsync(BitConverter.GetBytes(i));
            await ReceiveAsync(socket, buffer);
            Assert.Equal(i, BitConverter.ToInt32(buffer));
            await socket.SendAsync(new byte[1000]); // its echo is on the way when it is reset
            socket.LingerState = new LingerOption(true, 0);
        }

        await Limits.UntilAsync(() => server.Statistics.Current == 0, "connections are left");
        Assert.InRange(descriptors.Count, 1, 60);
    }

    /// <summary>The first byte says how it ends; an echo of the rest goes before.</summary>
    private static async Task ServeAsync(Connection c)
    {
        var first = new byte[1];
        if (await c.ReceiveAsync(first) == 0)
            return;
        switch ((Ending)first[0])
        {
            case Ending.ServerFin:
                await EchoAsync(c);
                await c.ShutdownSendAsync();
                await c.ReceiveAsync(first);
                break;
            case Ending.ServerReset:
                await EchoAsync(c);
                await c.ReceiveAsync(first); // the echo has arrived
                c.Abort();
                break;
            case Ending.Throw:
                await EchoAsync(c);
                throw new InvalidOperationException("planted");
            case Ending.Midway:
                break;
            default:
                await c.Input.CopyToAsync(c.Output, c.Closed);
                await c.ShutdownSendAsync();
                break;
        }
    }

    private static async Task EchoAsync(Connection c)
    {
        var length = new byte[4];
        await c.ReceiveExactlyAsync(length);
        var bytes = new byte[BinaryPrimitives.ReadInt32LittleEndian(length)];
        await c.ReceiveExactlyAsync(bytes);
        await c.SendAsync(length);
        await c.SendAsync(bytes);
    }

    private static async Task RushAsync(IPEndPoint place, int seed)
    {
        var random = new Random(seed);
        for (var i = 0; i < Rounds; i++)
        {
            var ending = (Ending)random.Next(8);
            var length = random.Next(10) == 0 ? random.Next(200_000) : random.Next(3_000);
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync(place);
            if (ending == Ending.ClosedAtOnce)
                continue;
            var message = Limits.Bytes(5 + length, seed + i);
            message[0] = (byte)ending;
            BinaryPrimitives.WriteInt32LittleEndian(message.AsSpan(1), length);
            try
            {
                await TalkAsync(socket, ending, message);
            }
            catch (SocketException) when (ending is Ending.Midway)
            {
                // It leaves in the middle of what we send.
            }

            if (ending is Ending.ClientReset)
                socket.LingerState = new LingerOption(true, 0);
        }
    }

    private static async Task TalkAsync(Socket socket, Ending ending, byte[] message)
    {
        var echo = new byte[message.Length - 1];
        var sending = SendAsync(socket, message, thenFinish: ending == Ending.HalfThenEcho);
        if (ending != Ending.Midway)
        {
            Assert.Equal(echo.Length, await ReceiveAsync(socket, echo));
            Assert.True(echo.AsSpan().SequenceEqual(message.AsSpan(1)), $"wrong bytes after {ending}");
        }

        await sending;
        if (ending is Ending.ServerFin or Ending.HalfThenEcho or Ending.Throw)
            Assert.Equal(0, await socket.ReceiveAsync(new byte[1]).InTime());
        else if (ending == Ending.ServerReset)
        {
            await socket.SendAsync(new byte[1]);
            Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(
                () => socket.ReceiveAsync(new byte[1]).InTime())).SocketErrorCode);
        }
    }

    private static async Task SendAsync(Socket socket, byte[] message, bool thenFinish)
    {
        await socket.SendAsync(message);
        if (thenFinish)
            socket.Shutdown(SocketShutdown.Send);
    }

    private static async Task<int> ReceiveAsync(Socket socket, byte[] buffer)
    {
        var have = 0;
        while (have < buffer.Length && await socket.ReceiveAsync(buffer.AsMemory(have)).InTime() is > 0 and var more)
            have += more;
        return have;
    }
}
