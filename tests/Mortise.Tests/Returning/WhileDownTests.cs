using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Returning;

/// <summary>The table of docs/clients.md: what each policy does in each case, cell by cell.</summary>
public sealed class WhileDownTests
{
    private static readonly TimeSpan Brief = TimeSpan.FromMilliseconds(50);

    public static TheoryData<string> Ways { get; } = [.. Harbour.Ways];

    [Theory, MemberData(nameof(Ways))]
    public async Task Wait_holds_calls_in_order_until_there_is_a_connection(string way)
    {
        await using var harbour = new Harbour(way);
        await using var client = harbour.Client();
        var sending = Enumerable.Range(0, 500).Select(i => client.SendAsync($"{i}").AsTask()).ToArray();
        Assert.DoesNotContain(sending, s => s.IsCompleted);
        harbour.Start();
        await Task.WhenAll(sending).InTime();
        for (var i = 0; i < 500; i++)
            Assert.Equal($"{i}", await harbour.LineAsync());
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Fail_refuses_at_once_and_never_sends_what_it_refused(string way)
    {
        await using var harbour = new Harbour(way);
        await using var client = harbour.Client(o => o.WhileDown = WhileDown.Fail);
        Assert.Equal((SendOutcome.NeverSent, "ENOTCONN"), Facts(await FailsAsync(client.SendAsync("refused"))));
        harbour.Start();
        await harbour.UntilAsync(ClientState.Connected);
        await client.SendAsync("sent");
        Assert.Equal("sent", await harbour.LineAsync());
        await harbour.StopAsync();
        await harbour.NextAsync();
        var error = await FailsAsync(client.SendAsync("refused again"));
        Assert.Equal(SendOutcome.NeverSent, error.Outcome);
        Assert.IsAssignableFrom<MortiseException>(error.InnerException); // why there is none
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Buffer_keeps_messages_up_to_its_bytes_and_sends_them_in_order(string way)
    {
        await using var harbour = new Harbour(way);
        await using var client = harbour.Client(o => o.WhileDown = WhileDown.Buffer(500));
        for (var i = 100; i < 225; i++)
            await client.SendAsync($"{i}"); // 4 bytes each with the line's end
        var full = await FailsAsync(client.SendAsync("x"));
        Assert.Equal((SendOutcome.NeverSent, "ENOBUFS"), Facts(full));
        Assert.Contains("2 bytes, and 500 of at most 500", full.Message, StringComparison.Ordinal);
        harbour.Start();
        for (var i = 100; i < 225; i++)
            Assert.Equal($"{i}", await harbour.LineAsync());
        await client.SendAsync("there is room again");
        Assert.Equal("there is room again", await harbour.LineAsync());
    }

    /// <summary>The server does not read, so that the message is stuck half-way when the connection ends.</summary>
    [Theory, MemberData(nameof(Ways))]
    public async Task A_message_on_its_way_when_the_connection_ends_is_unknown_and_not_sent_again(string way)
    {
        foreach (var policy in new[] { WhileDown.Wait, WhileDown.Fail, WhileDown.Buffer(1000) })
        {
            await using var harbour = new Harbour(way) { Mute = true };
            harbour.Start();
            await using var client = harbour.Client(o => o.WhileDown = policy);
            await harbour.UntilAsync(ClientState.Connected);
            var large = new string('x', 900_000);
            var sending = Enumerable.Range(0, 20).Select(_ => client.SendAsync(large).AsTask()).ToArray();
            Assert.False(sending[^1].IsCompleted);
            await harbour.StopAsync();
            var error = await FailsAsync(new ValueTask(sending[^1]));
            Assert.Equal((SendOutcome.Unknown, true), (error.Outcome, error.CloseReason is not null));
            harbour.Mute = false;
            harbour.Start();
            await harbour.UntilAsync(ClientState.Connected);
            await client.SendAsync("next");
            Assert.Equal("next", await harbour.LineAsync());
            Assert.All(sending.Where(s => s.IsFaulted), s =>
                Assert.Equal(SendOutcome.Unknown, ((UndeliveredException)s.Exception!.InnerException!).Outcome));
        }
    }

    [Fact]
    public async Task Kept_messages_on_their_way_are_told_as_lost_and_the_others_go_over_the_next_connection()
    {
        const int Messages = 200, Each = 50_000; // many batches: the mute server's kernel takes some of them
        await using var harbour = new Harbour("managed") { Mute = true };
        var (lost, unsure) = (0, new List<SendOutcome>());
        await using var client = harbour.Client(o =>
        {
            o.WhileDown = WhileDown.Buffer(Messages * Each);
            o.OnLost = (outcome, messages) =>
            {
                unsure.Add(outcome);
                lost += messages;
            };
        });
        for (var i = 0; i < Messages; i++)
            await client.SendAsync($"{i:000}{new string('x', Each - 4)}");
        harbour.Start();
        await harbour.UntilAsync(ClientState.Connected);
        await Limits.UntilAsync(() => harbour.Accepted == 1, "not accepted");
        await harbour.StopAsync();
        harbour.Mute = false;
        harbour.Start();
        var received = new List<int>();
        do
            received.Add(int.Parse((await harbour.LineAsync())[..3]));
        while (received[^1] < Messages - 1);
        Assert.Equal(received.Order().Distinct(), received); // in order, none twice
        Assert.Equal([SendOutcome.Unknown], unsure);
        Assert.InRange(lost, 1, 2); // of 50 kB: 64 KiB, and the message that made it so many
        Assert.NotEmpty(received);
    }

    [Theory, InlineData("wait"), InlineData("buffer")]
    public async Task A_request_waits_in_its_time_and_a_cancelled_call_was_never_sent(string policy)
    {
        await using var harbour = new Harbour(Rig.Memory);
        await using var client = harbour.Client(o =>
        {
            o.WhileDown = policy == "wait" ? WhileDown.Wait : WhileDown.Buffer(100);
            o.Session = new() { Correlation = Correlate.InOrder<string>() };
        });
        Assert.Equal((SendOutcome.NeverSent, "ETIMEDOUT"), Facts(await FailsAsync(client.RequestAsync("late", Brief))));
        using var given = new CancellationTokenSource();
        var cancelled = new List<Task> { client.RequestAsync("c", Timeout.InfiniteTimeSpan, given.Token).AsTask() };
        if (policy == "wait")
            cancelled.Add(client.SendAsync("c", given.Token).AsTask());
        var asking = client.RequestAsync("first");
        var sending = client.SendAsync("second");
        await given.CancelAsync();
        foreach (var call in cancelled)
        {
            var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => call.InTime());
            Assert.Equal(given.Token, error.CancellationToken);
            Assert.Equal(SendOutcome.NeverSent, Assert.IsType<UndeliveredException>(error.InnerException).Outcome);
        }

        harbour.Start();
        Assert.Equal("re: first", await asking.InTime());
        await sending.InTime();
        Assert.Equal("first", await harbour.LineAsync());
        Assert.Equal("second", await harbour.LineAsync());
        Assert.Empty(harbour.Lines());
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task A_request_under_way_fails_at_once_when_the_connection_ends_and_is_not_sent_again(string way)
    {
        await using var harbour = new Harbour(way);
        ValueTask AnswerAsync(Session<string> session, string line) =>
            line == "ask" ? default : session.SendAsync($"re: {line}");

        harbour.Start(AnswerAsync);
        await using var client = harbour.Client(o =>
        {
            o.WhileDown = WhileDown.Fail;
            o.Session = new() { Correlation = Correlate.InOrder<string>(), RequestTimeout = TimeSpan.FromMinutes(5) };
        });
        await harbour.UntilAsync(ClientState.Connected);
        var asking = client.RequestAsync("ask");
        Assert.Equal("ask", await harbour.LineAsync());
        await harbour.StopAsync();
        Assert.Equal(SendOutcome.Unknown, (await FailsAsync(asking)).Outcome);
        await harbour.NextAsync();
        Assert.Equal((SendOutcome.NeverSent, "ENOTCONN"), Facts(await FailsAsync(client.RequestAsync("refused"))));
        harbour.Start(AnswerAsync);
        await harbour.UntilAsync(ClientState.Connected);
        Assert.Equal("re: again", await client.RequestAsync("again").InTime());
        Assert.Equal(["again"], harbour.Lines());
        await Assert.ThrowsAsync<TimedOutException>(() => client.RequestAsync("ask", Brief).InTime());
    }

    [Fact]
    public async Task A_message_that_cannot_be_written_harms_nobody_and_a_cancelled_one_on_its_way_is_unknown()
    {
        await using var harbour = new Harbour("managed") { Mute = true };
        await using var client = harbour.Client();
        var sending = client.SendAsync("before");
        var broken = client.SendAsync("two\nlines");
        var after = client.SendAsync("after");
        harbour.Start();
        await Assert.ThrowsAsync<FrameException>(() => broken.InTime());
        await sending.InTime();
        await after.InTime();
        await Assert.ThrowsAsync<FrameException>(() => client.SendAsync("two\nlines").InTime());
        using var given = new CancellationTokenSource();
        var large = new string('x', 900_000);
        var stuck = Enumerable.Range(0, 20).Select(_ => client.SendAsync(large, given.Token).AsTask()).ToArray();
        await given.CancelAsync();
        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stuck[^1].InTime());
        Assert.Equal(SendOutcome.Unknown, Assert.IsType<UndeliveredException>(error.InnerException).Outcome);
    }

    /// <summary>Code on a loop that sends over a connection of that loop, where a flush is over at once.</summary>
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Sent_means_that_the_kernel_has_it_also_on_the_loop_of_the_connection(EngineKind engine)
    {
        await using var harbour = new Harbour($"{engine}");
        harbour.Start();
        await using var client = SocketClient.Create(harbour.Endpoint, Codec.Lines(), o =>
            (o.Transport.Engine, o.Transport.Loops) = (engine, 1));
        var atOnce = new TaskCompletionSource<bool>();
        await using var relay = SocketServer.Start("tcp://127.0.0.1:0", async _ =>
        {
            Assert.NotNull(EventLoop.Current);
            var sending = client.SendAsync("from the loop");
            atOnce.SetResult(sending.IsCompleted);
            await sending;
        }, o => (o.Transport.Engine, o.Transport.Loops) = (engine, 1));
        await client.SendAsync("connected");
        await using var caller = await SocketClient.ConnectAsync(relay.Endpoints[0]);
        Assert.False(await atOnce.Task.InTime());
        Assert.Equal("connected", await harbour.LineAsync());
        Assert.Equal("from the loop", await harbour.LineAsync());
    }

    [Fact]
    public async Task More_than_ten_thousand_calls_do_not_wait()
    {
        await using var harbour = new Harbour(Rig.Memory);
        await using var client = harbour.Client();
        var calls = Enumerable.Range(0, 10_001).Select(_ => client.SendAsync("x").AsTask()).ToArray();
        Assert.Equal((SendOutcome.NeverSent, "EAGAIN"), Facts(await FailsAsync(new ValueTask(calls[^1]))));
        harbour.Start();
        await Task.WhenAll(calls[..^1]).InTime();
    }

    private static (SendOutcome, string) Facts(UndeliveredException e) => (e.Outcome, e.Symbol);

    private static Task<UndeliveredException> FailsAsync(ValueTask call) =>
        Assert.ThrowsAsync<UndeliveredException>(() => call.InTime());

    private static Task<UndeliveredException> FailsAsync(ValueTask<string> call) =>
        Assert.ThrowsAsync<UndeliveredException>(() => call.InTime());
}
