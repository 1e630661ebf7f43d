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
                var reading = c.Input.ReadAsync(giveUp.Token);
                isReading.SetResult();
                goOn.Wait(Limits.Soon);
                var result = await reading;
                c.Input.AdvanceTo(result.Buffer.End);
                result = await c.Input.ReadAsync(Limits.Soon);
                second.SetResult((int)result.Buffer.Length);
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
    public async Task An_input_that_is_completed_meanwhile_does_not_cut_the_linger_short(EngineKind engine)
    {
        var lingers = NewSource();
        var closed = NewSource();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            var closing = c.CloseAsync(CloseReason.Local, Limits.Time, Limits.Time);
            await c.Input.CompleteAsync();
            lingers.SetResult();
            await closing;
            closed.SetResult();
        }, o => o.Transport.Engine = engine);
        await using (var client = await ConnectAsync(server))
        {
            await lingers.Task.InTime();
            Assert.Equal(0, await client.ReceiveAsync(new byte[1], Limits.Soon));
            await Task.Delay(Moment);
            Assert.False(closed.Task.IsCompleted);
        }

        await closed.Task.InTime();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task An_urgent_byte_does_not_hold_up_what_is_behind_it(EngineKind engine)
    {
        using var goOn = new ManualResetEventSlim();
        var isThere = NewSource();
        var stream = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            isThere.SetResult();
            goOn.Wait(Limits.Soon);
            var six = new byte[6];
            await c.ReceiveExactlyAsync(six, c.Closed);
            stream.SetResult(System.Text.Encoding.ASCII.GetString(six));
        }, o => o.Transport.Engine = engine);
        await using var client = await ConnectAsync(server);
        await isThere.Task.InTime();
        await client.SendAsync("abc"u8.ToArray());
        client.SendUrgent((byte)'!');
        await client.SendAsync("def"u8.ToArray());
        goOn.Set();
        Assert.Equal("abcdef", await stream.Task.InTime());
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static ValueTask<Connection> ConnectAsync(SocketServer server) =>
        SocketClient.ConnectAsync(server.Endpoints[0], o => o.Transport.Engine = EngineKind.Managed, Limits.Soon);
}
