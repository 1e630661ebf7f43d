using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Text;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>What a message costs the garbage collector: counted on the loop's own thread, where all of it
/// happens.</summary>
[Collection("alone")]
public sealed class AllocationTests
{
    private const int Messages = 200_000, WarmUp = 20_000;

    private static readonly bool IsDebugBuild = typeof(Connection).Assembly
        .GetCustomAttribute<DebuggableAttribute>() is { IsJITOptimizerDisabled: true };

    public static TheoryData<EngineKind, string> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, string>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
                foreach (var way in (string[])["copy", "read"])
                    cases.Add(engine, way);
            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_message_of_bytes_allocates_nothing(EngineKind engine, string way)
    {
        await using var server = Served.Start(engine, way == "copy"
            ? static c => c.Input.CopyToAsync(c.Output, c.Closed)
            : ReadAndWriteAsync, o => o.Transport.Loops = 1);
        Assert.InRange(await MeasureAsync(server, new byte[64]), 0, 0.1);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_line_allocates_its_string_alone(EngineKind engine)
    {
        Assert.SkipWhen(IsDebugBuild, "a debug build makes an object of every async call");
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), (s, line) => s.SendAsync(line),
            o => (o.Transport.Engine, o.Transport.Loops) = (engine, 1));
        var line = new string('x', 63);
        var before = GC.GetAllocatedBytesForCurrentThread();
        _ = new string('y', 63);
        var itself = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.InRange(await MeasureAsync(server, Encoding.ASCII.GetBytes(line + "\n")), itself, itself + 0.1);
    }

    /// <summary>They were 700 bytes of tasks, closures and lists once.</summary>
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_send_of_another_thread_allocates_nothing(EngineKind engine)
    {
        Assert.SkipWhen(IsDebugBuild, "a debug build makes an object of every async call");
        using var listener = SocketServer.Listen("tcp://127.0.0.1:0", new TransportOptions { Engine = engine });
        using var peer = new Socket(SocketType.Stream, ProtocolType.Tcp);
        peer.Connect((IPEndPoint)listener.Endpoint.ToSocketEndPoint()!);
        await using var connection = await listener.AcceptAsync();
        var reading = Task.Factory.StartNew(() => ReadToEnd(peer), TaskCreationOptions.LongRunning);
        using var patience = new CancellationTokenSource();
        Assert.InRange(await SendingAsync(connection, default), 0, 10);
        Assert.InRange(await SendingAsync(connection, patience.Token), 0, 10);
        await connection.CloseAsync(CloseReason.Local, Limits.Time, TimeSpan.Zero);
        await reading.InTime();
    }

    /// <summary>Its three objects, its address, and its place in the loop's table; it was 700 once.</summary>
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Who_accepts_by_hand_allocates_the_connection_alone(EngineKind engine)
    {
        Assert.SkipWhen(IsDebugBuild, "a debug build makes an object of every async call");
        const int Newcomers = 1000;
        using var listener = SocketServer.Listen("tcp://127.0.0.1:0",
            new TransportOptions { Engine = engine, Loops = 1, Backlog = Newcomers });
        var peers = new List<Socket>();
        var accepted = new List<Connection>(Newcomers);
        var least = double.MaxValue;
        for (var round = 0; round < 3; round++) // the loop's tables grow in the first
        {
            while (peers.Count < Newcomers)
            {
                peers.Add(new Socket(SocketType.Stream, ProtocolType.Tcp));
                peers[^1].Connect((IPEndPoint)listener.Endpoint.ToSocketEndPoint()!);
            }

            var before = GC.GetTotalAllocatedBytes(precise: true);
            while (accepted.Count < Newcomers)
                accepted.Add(await listener.AcceptAsync().AsTask().InTime());
            least = Math.Min(least, (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Newcomers);
            peers.ForEach(p => p.Dispose());
            await Task.WhenAll(accepted.Select(c => c.DisposeAsync().AsTask())).InTime();
            peers.Clear();
            accepted.Clear();
        }

        Assert.InRange(least, 300, 660);
    }

    /// <summary>Bytes that the whole process allocates per send, when everything is warm.</summary>
    private static async Task<double> SendingAsync(Connection connection, CancellationToken cancellationToken)
    {
        const int Sends = 5_000;
        var (message, least) = (new byte[64], double.MaxValue);
        for (var round = 0; round < 10 && least > 1; round++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            for (var i = 0; i < Sends; i++)
                await connection.SendAsync(message, cancellationToken).ConfigureAwait(false);
            least = Math.Min(least, (GC.GetTotalAllocatedBytes(precise: true) - before) / (double)Sends);
        }

        return least;
    }

    private static void ReadToEnd(Socket socket)
    {
        var bytes = new byte[64 * 1024];
        while (socket.Receive(bytes) > 0)
        {
        }
    }

    private static async Task ReadAndWriteAsync(Connection c)
    {
        while (true)
        {
            var result = await c.Input.ReadAsync();
            foreach (var part in result.Buffer)
                await c.Output.WriteAsync(part);
            c.Input.AdvanceTo(result.Buffer.End);
            if (result.IsCompleted)
                return;
        }
    }

    /// <summary>Bytes allocated per message on the server's loop while a plain socket asks and is answered.</summary>
    private static async Task<double> MeasureAsync(SocketServer server, byte[] message)
    {
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync((IPEndPoint)server.Endpoints[0].ToSocketEndPoint()!);
        await Task.Factory.StartNew(() => Ask(socket, message, WarmUp), TaskCreationOptions.LongRunning).InTime();
        var loop = ((LoopConnection)server.Connections[0]).Loop;
        var before = await AllocatedAsync(loop);
        await Task.Factory.StartNew(() => Ask(socket, message, Messages), TaskCreationOptions.LongRunning).InTime();
        return (await AllocatedAsync(loop) - before) / (double)Messages;
    }

    /// <summary>Sixteen in flight, one by one in their own packets.</summary>
    private static void Ask(Socket socket, byte[] message, int messages)
    {
        const int InFlight = 16;
        var echo = new byte[InFlight * message.Length];
        for (var i = 0; i < InFlight; i++)
            socket.Send(message);
        for (int echoed = 0, sent = InFlight, part = 0; echoed < messages;)
        {
            part += socket.Receive(echo);
            for (; part >= message.Length; part -= message.Length, echoed++)
                if (sent < messages && sent++ > 0)
                    socket.Send(message);
        }
    }

    private static Task<long> AllocatedAsync(EventLoop loop)
    {
        var bytes = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(_ => bytes.SetResult(GC.GetAllocatedBytesForCurrentThread()), null);
        return bytes.Task.InTime();
    }
}
