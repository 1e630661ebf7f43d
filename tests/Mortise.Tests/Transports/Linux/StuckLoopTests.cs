using System.Collections.Concurrent;
using System.Diagnostics;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>A handler that blocks keeps its own loop waiting, and nobody else.</summary>
[Collection("alone")]
public sealed class StuckLoopTests
{
    private static readonly TimeSpan Stuck = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Prompt = TimeSpan.FromSeconds(2);

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_stuck_loop_strands_no_newcomer_while_there_is_another(EngineKind engine)
    {
        using var release = new ManualResetEventSlim();
        var blocked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var homes = new ConcurrentBag<object?>();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            var buffer = new byte[1];
            if (await c.ReceiveAsync(buffer) == 0)
                return;
            if (buffer[0] == (byte)'!')
            {
                blocked.SetResult();
                release.Wait(Stuck);
            }

            homes.Add(c.Home);
            await c.SendAsync(buffer);
        }, o =>
        {
            o.Transport.Engine = engine;
            o.Transport.Loops = 2;
        });
        await using var stuck = await ConnectAsync(server);
        await stuck.SendAsync("!"u8.ToArray());
        await blocked.Task.InTime();

        // At once: half of these go to the loop that is blocked, which nobody knows yet.
        var since = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => AskAsync(server))).WaitAsync(Prompt);
        var firstOnes = Stopwatch.GetElapsedTime(since);
        since = Stopwatch.GetTimestamp();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => AskAsync(server))).WaitAsync(Prompt);
        var laterOnes = Stopwatch.GetElapsedTime(since);
        Assert.False(release.IsSet);
        Assert.Single(homes.Distinct());

        release.Set();
        await stuck.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        Assert.Equal(2, homes.Distinct().Count());
        // Nobody is there twice or for ever: both loops count what they have.
        await Limits.UntilAsync(() => server.Statistics.Current <= 1, "connections are left");
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"{engine}: 20 served within {firstOnes.TotalMilliseconds:0} ms, 20 more {laterOnes.TotalMilliseconds:0}");
    }

    private static async Task AskAsync(SocketServer server)
    {
        await using var client = await ConnectAsync(server);
        await client.SendAsync("a"u8.ToArray());
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }

    private static ValueTask<Connection> ConnectAsync(SocketServer server) =>
        SocketClient.ConnectAsync(server.Endpoints[0], o => o.Transport.Engine = EngineKind.Managed, Limits.Soon);
}
