using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>
/// Everything ends at once, at random, under load; afterwards nothing is left and the server still serves.
/// </summary>
[Collection("alone")]
public sealed class StampedeTests
{
    private const int Milliseconds = 2500;

    [Theory, InlineData(EngineKind.Managed), InlineData(EngineKind.Epoll), InlineData(EngineKind.IoUring)]
    public async Task Random_ends_leave_nothing_behind(EngineKind engine)
    {
        var unobserved = new List<Exception>();
        void OnUnobserved(object? sender, UnobservedTaskExceptionEventArgs e)
        {
            lock (unobserved)
                unobserved.Add(e.Exception);
        }

        Assert.SkipUnless(engine == EngineKind.Managed || Engines.WithLoops.Any(row => row.Data == engine),
            $"{engine} is not to be had here");
        TaskScheduler.UnobservedTaskException += OnUnobserved;
        var buffers = BlockPool.Shared.Outstanding;
        var sockets = Limits.OpenSockets();
        await using (var server = SocketServer.Start([Endpoint.Parse("tcp://127.0.0.1:0"),
            Endpoint.Parse($"unix:@mortise-stampede-{Environment.ProcessId}")],
            c => new Session<string>(c, Codec.Lines()).RunAsync(Handle),
            o =>
            {
                (o.CloseLinger, o.MaxConnections) = (TimeSpan.FromMilliseconds(20), 12);
                o.Transport.Engine = engine;
            }))
        {
            using var over = new CancellationTokenSource(Milliseconds);
            var clients = Enumerable.Range(1, 16).Select(i => Task.Run(() => RushAsync(server, engine, i, over.Token)));
            var trouble = Task.Run(() => TroubleAsync(server, over.Token));
            await Task.WhenAll([.. clients, trouble]).InTime();
            await Limits.UntilAsync(() => server.Statistics.Current == 0, "connections are left");
            await using var last = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
            await last.SendAsync("still there");
            Assert.Equal("still there", await last.ReceiveAsync(Limits.Soon));
            Assert.InRange(server.Statistics.Accepted, 50, long.MaxValue);
            Assert.InRange(server.Statistics.HandlerFaults, 1, long.MaxValue);
        }

        await Limits.UntilAsync(() => Limits.OpenSockets() <= sockets, "sockets are left open");
        await Limits.UntilAsync(() => BlockPool.Shared.Outstanding <= buffers, "buffers are left");
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        GC.WaitForPendingFinalizers();
        TaskScheduler.UnobservedTaskException -= OnUnobserved;
        Assert.Empty(unobserved);
    }

    private static async ValueTask Handle(Session<string> session, string line)
    {
        if (line == "throw")
            throw new InvalidOperationException("planted");
        if (line == "wait")
            await Task.Delay(5, session.Closed);
        await session.SendAsync(line);
        if (line == "abort")
            session.Abort();
    }

    private static async Task TroubleAsync(SocketServer server, CancellationToken over)
    {
        var random = new Random(1);
        while (!over.IsCancellationRequested)
        {
            await Task.Delay(10, CancellationToken.None);
            if (server.Connections is not { Count: > 0 } live)
                continue;
            var victim = live[random.Next(live.Count)];
            if (random.Next(3) == 0)
                _ = victim.DisposeAsync().AsTask();
            else if (random.Next(2) == 0)
                victim.EndInput(CloseReason.Idle);
            else
                victim.Abort();
        }
    }

    private static async Task RushAsync(SocketServer server, EngineKind engine, int seed, CancellationToken over)
    {
        var random = new Random(seed);
        string[] words = ["plain", "wait", "abort", "throw", "plain", "plain", new('x', 20_000)];
        while (!over.IsCancellationRequested)
        {
            try
            {
                var place = server.Endpoints[random.Next(2)];
                await using var client = await SocketClient.ConnectAsync(place, Codec.Lines(),
                    o => o.Transport.Engine = engine, Limits.Soon);
                for (var i = random.Next(20); i > 0; i--)
                {
                    await client.SendAsync(words[random.Next(words.Length)]);
                    using var brief = new CancellationTokenSource(random.Next(1, 200));
                    await client.ReceiveAsync(brief.Token);
                }

                if (random.Next(2) == 0)
                    client.Abort();
            }
            catch (Exception e) when (e is MortiseException or OperationCanceledException)
            {
                // Ends are what this test is about; that every one of them is typed is the point.
            }
        }
    }
}
