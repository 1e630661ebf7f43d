using System.Buffers;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>
/// The library's own methods that wait inside do so on the loop, as its pipes do: no message visits the thread pool,
/// and none allocates.
/// </summary>
[Collection("alone")]
public sealed class InlineTests
{
    private const int Messages = 5_000, MessageBytes = 64, LargeBytes = 16 * 1024;

    private static readonly bool IsDebugBuild = typeof(Connection).Assembly
        .GetCustomAttribute<DebuggableAttribute>() is { IsJITOptimizerDisabled: true };

    public static TheoryData<EngineKind, string> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, string>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
                foreach (var way in (string[])["exactly", "token", "large", "session"])
                    cases.Add(engine, way);
            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_wait_of_the_library_stays_on_the_loop_and_allocates_nothing(EngineKind engine, string way)
    {
        var threads = new HashSet<string?>();
        await using var server = Served.Start(engine, c => way switch
        {
            "session" => AnswerFramesAsync(c, threads),
            "token" => AnswerAsync(c, threads, new CancellationTokenSource().Token, MessageBytes),
            "large" => AnswerAsync(c, threads, default, LargeBytes),
            _ => AnswerAsync(c, threads, default, MessageBytes),
        }, o => o.Transport.Loops = 1);
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        // Not ConnectAsync: after it even blocking calls go through the thread pool.
        socket.Connect((IPEndPoint)server.Endpoints[0].ToSocketEndPoint()!);
        var question = new byte[MessageBytes];
        question[^1] = (byte)'\n';
        var answerBytes = way == "large" ? LargeBytes : MessageBytes;
        await AskAsync(socket, question, answerBytes);
        var loop = ((LoopConnection)server.Connections[0]).Loop;
        var (hops, bytes) = (long.MaxValue, double.MaxValue);
        // Code that the runtime has not optimized yet boxes awaiters; it takes its time to replace it. And the pool
        // counts for the whole process: what another test left may work there. What hops does so in every round.
        for (var round = 0; round < 10 && (bytes > 1 || hops > Messages / 20); round++)
        {
            var before = await AllocatedAsync(loop);
            hops = await AskAsync(socket, question, answerBytes);
            bytes = (await AllocatedAsync(loop) - before) / (double)Messages;
            round = IsDebugBuild ? 10 : round;
        }

        Assert.Matches("^mortise-loop-1$", Assert.Single(threads));
        Assert.InRange(hops, 0, Messages / 20);
        if (!IsDebugBuild)
            Assert.InRange(bytes, 0, 1);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Who_waits_elsewhere_for_a_handlers_connection_stays_elsewhere(EngineKind engine)
    {
        var onLoop = 0;
        await using var server = Served.Start(engine, c => Task.Run(async () =>
        {
            var buffer = new byte[MessageBytes];
            for (var i = 0; i < 50; i++)
            {
                await c.ReceiveExactlyAsync(buffer, c.Closed);
                onLoop += Served.IsLoopThread ? 1 : 0;
                await c.ReceiveAsync(buffer, new CancellationTokenSource().Token);
                onLoop += Served.IsLoopThread ? 1 : 0;
                await c.SendAsync(new byte[LargeBytes]);
                onLoop += Served.IsLoopThread ? 1 : 0;
            }
        }));
        await using var client = await server.ConnectAsync();
        for (var i = 0; i < 50; i++)
        {
            await client.SendAsync(new byte[MessageBytes + 1]);
            await client.ReceiveExactlyAsync(new byte[LargeBytes], Limits.Soon);
        }

        await Limits.UntilAsync(() => server.Statistics.Current == 0, "left");
        Assert.Equal((0, 0), (onLoop, (int)server.Statistics.HandlerFaults));
    }

    private static async Task AnswerAsync(Connection c, HashSet<string?> threads, CancellationToken token, int bytes)
    {
        var question = new byte[MessageBytes];
        var answer = new byte[bytes];
        while (true)
        {
            await c.ReceiveExactlyAsync(question, token);
            threads.Add(Thread.CurrentThread.Name);
            await c.SendAsync(answer, token);
            threads.Add(Thread.CurrentThread.Name);
        }
    }

    private static async Task AnswerFramesAsync(Connection c, HashSet<string?> threads)
    {
        var session = new Session<int>(c, Codec.Create(Framing.Parse("fixed:64"), static frame => (int)frame.Length,
            static (int bytes, IBufferWriter<byte> output) =>
            {
                output.GetSpan(bytes)[..bytes].Clear();
                output.Advance(bytes);
            }));
        while (true)
        {
            var question = await session.ReceiveAsync();
            threads.Add(Thread.CurrentThread.Name);
            await session.SendAsync(question);
        }
    }

    /// <summary>One after another, each in two pieces, so that the server waits for each. How many pieces of work the
    /// thread pool had meanwhile.</summary>
    private static async Task<long> AskAsync(Socket socket, byte[] question, int answerBytes)
    {
        var asking = Task.Factory.StartNew(() =>
        {
            var before = ThreadPool.CompletedWorkItemCount;
            var answer = new byte[answerBytes];
            for (var i = 0; i < Messages; i++)
            {
                socket.Send(question.AsSpan(0, 10));
                socket.Send(question.AsSpan(10));
                for (var have = 0; have < answer.Length;)
                    have += socket.Receive(answer.AsSpan(have)) is > 0 and var n ? n : throw new EndOfStreamException();
            }

            return ThreadPool.CompletedWorkItemCount - before;
        }, TaskCreationOptions.LongRunning);
        return await asking.InTime();
    }

    private static Task<long> AllocatedAsync(EventLoop loop)
    {
        var bytes = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(_ => bytes.SetResult(GC.GetAllocatedBytesForCurrentThread()), null);
        return bytes.Task.InTime();
    }
}
