using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Returning;

/// <summary>A client that is disposed: what it was given before comes to its end, and nothing is left behind.</summary>
[Collection("alone")]
public sealed class LeavingTests
{
    public static TheoryData<string> Ways { get; } = [.. Harbour.Ways];

    [Theory, MemberData(nameof(Ways))]
    public async Task Requests_under_way_and_held_messages_come_to_their_end_first(string way)
    {
        await using var harbour = new Harbour(way);
        var asked = new TaskCompletionSource<Session<string>>();
        harbour.Start((session, line) =>
        {
            asked.TrySetResult(session);
            return default;
        });
        var time = new ManualTime();
        var client = harbour.Client(o =>
        {
            o.Transport.Time = time;
            o.Session = new() { Correlation = Correlate.InOrder<string>() };
        });
        var asking = client.RequestAsync("ask");
        var session = await asked.Task.InTime();
        var leaving = client.DisposeAsync();
        Assert.Equal((SendOutcome.NeverSent, "ESHUTDOWN"), Facts(await FailsAsync(client.SendAsync("too late"))));
        time.Advance(TimeSpan.FromSeconds(8)); // of ten
        Assert.False(leaving.IsCompleted);
        await session.SendAsync("answer");
        Assert.Equal("answer", await asking.InTime());
        await leaving.InTime();
        Assert.Equal(ClientState.Closed, client.State);
        Assert.Equal(CloseReason.Eof, await EndOfAsync(session));

        await harbour.StopAsync();
        client = harbour.Client();
        var held = client.SendAsync("held");
        leaving = client.DisposeAsync();
        harbour.Start();
        await held.InTime();
        await leaving.InTime();
        Assert.Equal("ask", await harbour.LineAsync());
        Assert.Equal("held", await harbour.LineAsync());
    }

    [Theory, InlineData("wait"), InlineData("buffer")]
    public async Task What_no_connection_took_in_time_was_never_sent(string policy)
    {
        await using var harbour = new Harbour(Rig.Memory);
        var lost = new List<(SendOutcome, int)>();
        var client = harbour.Client(o =>
        {
            o.WhileDown = policy == "wait" ? WhileDown.Wait : WhileDown.Buffer(1000);
            o.DrainTimeout = TimeSpan.FromMilliseconds(50);
            o.OnLost = (outcome, messages) => lost.Add((outcome, messages));
        });
        var calls = Enumerable.Range(0, 3).Select(i => client.SendAsync($"{i}").AsTask()).ToArray();
        await client.DisposeAsync().InTime();
        if (policy == "buffer")
            Assert.Equal([(SendOutcome.NeverSent, 3)], lost);
        else
            foreach (var call in calls)
                Assert.Equal((SendOutcome.NeverSent, "ESHUTDOWN"), Facts(await FailsAsync(new ValueTask(call))));
        harbour.Start();
        Assert.Empty(harbour.Lines());
    }

    [Fact]
    public async Task Received_messages_can_be_taken_afterwards_and_a_handler_may_dispose_its_own_client()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start();
        var client = harbour.Client();
        await client.SendAsync("a");
        await harbour.LineAsync();
        await client.SendAsync("b");
        var all = new List<string>();
        await foreach (var message in client.Messages)
        {
            all.Add(message);
            if (message == "re: b")
                await client.DisposeAsync().InTime();
        }

        Assert.Equal(["re: a", "re: b"], all);

        var left = new TaskCompletionSource();
        SocketClient<string>? own = null;
        own = harbour.Client(o => o.OnMessage = async (_, _) =>
        {
            await own!.DisposeAsync();
            left.SetResult();
        });
        await own.SendAsync("quit");
        await left.Task.WaitAsync(TimeSpan.FromSeconds(5)); // sooner than the drain would end
    }

    [Fact]
    public async Task With_nothing_to_wait_for_it_leaves_at_once_in_every_state()
    {
        await using var harbour = new Harbour("managed");
        var client = harbour.Client(o => o.Reconnect = Backoff.Constant(TimeSpan.FromHours(1)));
        await harbour.UntilAsync(ClientState.Waiting);
        using var given = new CancellationTokenSource();
        var sending = client.SendAsync("x", given.Token);
        var leaving = client.DisposeAsync();
        await given.CancelAsync(); // the last call for whose sake it would stay
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending.InTime());
        await leaving.AsTask().WaitAsync(TimeSpan.FromSeconds(5));

        var hung = new TaskCompletionSource();
        harbour.Start();
        client = harbour.Client(o => o.OnConnected = (_, _) =>
        {
            hung.TrySetResult();
            return new ValueTask(Task.Delay(Timeout.Infinite));
        });
        await hung.Task.InTime();
        await client.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5));
        Assert.Equal(ClientState.Closed, client.State);

        using var full = SocketServer.Listen("tcp://127.0.0.1:0", new TransportOptions { Backlog = 0 });
        await using var filler = await SocketClient.ConnectAsync(full.Endpoint);
        client = SocketClient.Create(full.Endpoint, Codec.Lines()); // its SYN is not answered
        await client.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Fifty_ends_leave_no_descriptor_and_no_buffer(string way)
    {
        await using var harbour = new Harbour(way);
        harbour.Start();
        await UseAsync();
        var (sockets, buffers) = (Limits.OpenSockets(), BlockPool.Shared.Outstanding);
        await UseAsync();
        await Limits.UntilAsync(() => Limits.OpenSockets() <= sockets, "a socket is left");
        await Limits.UntilAsync(() => BlockPool.Shared.Outstanding <= buffers, "a buffer is left");

        async Task UseAsync()
        {
            await using var client = harbour.Client(o => o.Session = new()
            {
                Correlation = Correlate.InOrder<string>(),
                Heartbeat = new Heartbeat<string>(TimeSpan.FromMilliseconds(5), "beat"),
            });
            for (var i = 0; i < 25; i++)
            {
                Assert.StartsWith("re: ", await client.RequestAsync("ask").InTime());
                await harbour.UntilAsync(ClientState.Connected);
                await harbour.StopAsync();
                await harbour.UntilAsync(ClientState.Waiting);
                harbour.Start();
            }
        }
    }

    [Fact]
    public async Task Nobody_taking_messages_holds_back_the_peer_and_says_so_at_the_end()
    {
        await using var harbour = new Harbour("managed");
        var written = 0;
        harbour.Start(async (session, _) =>
        {
            while (true)
            {
                await session.SendAsync(new string('x', 50_000));
                Interlocked.Increment(ref written);
            }
        });
        await using var client = harbour.Client(o => o.Session = new() { ReceiveQueueBytesMax = 100_000 });
        await client.SendAsync("go");
        await harbour.UntilAsync(ClientState.Connected);
        var before = -1;
        await Limits.UntilAsync(() => Interlocked.Exchange(ref before, written) == written && written > 0, "no end");
        await harbour.StopAsync();
        _ = client.SendAsync("y").AsTask(); // or the end stays unseen: nothing is read
        var told = await harbour.UntilAsync(ClientState.Waiting);
        Assert.Equal("ENOBUFS", Assert.IsType<MortiseException>(told.Error).Symbol);
        harbour.Start();
        var taking = TakeAllAsync(client);
        await harbour.UntilAsync(ClientState.Connected);
        await client.DisposeAsync();
        await taking.InTime();
    }

    private static async Task TakeAllAsync(SocketClient<string> client)
    {
        await foreach (var _ in client.Messages)
        {
        }
    }

    private static async Task<CloseReason?> EndOfAsync(Session<string> session)
    {
        await Task.Delay(Limits.Time, session.Closed).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return session.CloseReason;
    }

    private static (SendOutcome, string) Facts(UndeliveredException e) => (e.Outcome, e.Symbol);

    private static Task<UndeliveredException> FailsAsync(ValueTask call) =>
        Assert.ThrowsAsync<UndeliveredException>(() => call.InTime());
}
