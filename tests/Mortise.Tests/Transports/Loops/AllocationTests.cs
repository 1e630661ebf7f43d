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
