using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>Handlers on their loop, where what was asked before comes after what the kernel has to say.</summary>
[Collection("alone")]
public sealed class HomeTests
{
    private const int StreamBytes = 1024 * 1024;
    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(200);

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_token_that_comes_too_late_for_its_read_does_not_end_the_next(EngineKind engine)
    {
        using var giveUp = new CancellationTokenSource();
        using var goOn = new ManualResetEventSlim();
        var isReading = NewSource();
        var second = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            try
            {
                var buffer = new byte[1];
                var reading = c.ReceiveAsync(buffer, giveUp.Token);
                isReading.SetResult();
                goOn.Wait(Limits.Soon);
                await reading;
                second.SetResult(await c.ReceiveAsync(buffer, Limits.Soon));
            }
            catch (Exception e)
            {
                second.TrySetException(e);
            }
        }, o => o.Transport.Engine = engine);
        await using var client = await ConnectAsync(server);
        await isReading.Task.InTime();
        await client.SendAsync(new byte[1]);
        await giveUp.CancelAsync();
        goOn.Set();
        await Task.Delay(Moment);
        await client.SendAsync(new byte[1]);
        Assert.Equal(1, await second.Task.InTime());
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Several_relays_that_wait_for_one_slow_reader_all_go_on(EngineKind engine)
    {
        var sinks = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            if (sinks.TrySetResult(c))
                await Task.Delay(Timeout.Infinite, c.Closed);
            else
                await c.Input.CopyToAsync((await sinks.Task).Output);
        }, o => (o.Transport.Engine, o.Transport.Loops) = (engine, 1));
        await using var sink = await ConnectAsync(server);
        await sinks.Task.InTime();
        await using var first = await ConnectAsync(server);
        await using var second = await ConnectAsync(server);
        var sending = Task.WhenAll(first.SendAsync(new byte[StreamBytes * 4], Limits.Soon).AsTask(),
            second.SendAsync(new byte[StreamBytes * 4], Limits.Soon).AsTask());
        await Task.Delay(Moment);
        await sink.ReceiveExactlyAsync(new byte[StreamBytes * 8], Limits.Soon);
        await sending.InTime();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_handler_that_completes_its_input_does_not_cut_the_linger_short(EngineKind engine)
    {
        var closed = NewSource();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            await c.SendAsync(new byte[1]);
            await c.Input.CompleteAsync();
        }, o =>
        {
            o.Transport.Engine = engine;
            o.OnClosed = _ => closed.SetResult();
            o.CloseLinger = TimeSpan.FromSeconds(20);
        });
        await using (var client = await ConnectAsync(server))
        {
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
            Assert.Equal(0, await client.ReceiveAsync(new byte[1], Limits.Soon));
            await Task.Delay(Moment);
            Assert.False(closed.Task.IsCompleted);
        }

        await closed.Task.InTime();
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static ValueTask<Connection> ConnectAsync(SocketServer server) =>
        SocketClient.ConnectAsync(server.Endpoints[0], o => o.Transport.Engine = EngineKind.Managed, Limits.Soon);
}
