using System.Threading.Channels;
using Mortise.Testing;
using Mortise.Tests.Addresses;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Returning;

/// <summary>A client that comes back: after an end, to another server, and not like a storm.</summary>
public sealed class ReturnTests
{
    public static TheoryData<string> Ways { get; } = [.. Harbour.Ways];

    [Theory, MemberData(nameof(Ways))]
    public async Task It_logs_in_before_anything_else_goes_out_and_again_each_time(string way)
    {
        await using var harbour = new Harbour(way);
        var logins = 0;
        await using var client = harbour.Client(o => o.OnConnected = async (session, stop) =>
        {
            await session.SendAsync($"login {++logins}", stop);
            Assert.Equal($"re: login {logins}", await session.ReceiveAsync(stop));
        });
        await using var messages = client.Messages.GetAsyncEnumerator(Limits.Soon);
        for (var life = 1; life <= 3; life++)
        {
            var early = client.SendAsync($"early {life}");
            harbour.Start();
            await early.InTime();
            Assert.Equal(ClientState.Connected, client.State);
            Assert.Equal($"login {life}", await harbour.LineAsync());
            Assert.Equal($"early {life}", await harbour.LineAsync());
            Assert.True(await messages.MoveNextAsync());
            Assert.Equal($"re: early {life}", messages.Current);
            await harbour.UntilAsync(ClientState.Connected);
            await harbour.StopAsync();
            var end = (await harbour.NextAsync()).Error;
            Assert.True(end is ConnectionException, $"{end}");
        }
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task A_handlers_request_behind_a_full_queue_fails_at_the_end_and_the_client_comes_back(string way)
    {
        await using var harbour = new Harbour(way);
        async ValueTask ManyAsync(Session<string> session, string line)
        {
            for (var i = 0; line == "go" && i < 100; i++)
                await session.SendAsync("message");
        }

        harbour.Start(ManyAsync);
        var (asked, failed) = (0, new TaskCompletionSource<Exception?>());
        SocketClient<string>? client = null;
        var drain = TimeSpan.FromMilliseconds(100);
        client = harbour.Client(o =>
        {
            o.DrainTimeout = drain;
            o.Session = new()
            {
                Correlation = Correlate.InOrder<string>(line => line == "reply"),
                RequestTimeout = Timeout.InfiniteTimeSpan,
                ReceiveQueueBytesMax = 1000,
            };
            o.OnMessage = async (_, _) =>
            {
                if (Interlocked.Increment(ref asked) is 1 or 101)
                    failed.SetResult(await Record.ExceptionAsync(async () => await client!.RequestAsync("what?")));
            };
        });
        await client.SendAsync("go");
        await harbour.UntilAsync(ClientState.Connected);
        Assert.Equal("go", await harbour.LineAsync());
        Assert.Equal("what?", await harbour.LineAsync());
        await harbour.StopAsync();
        _ = client.SendAsync("y").AsTask(); // or the end stays unseen: nothing is read
        Assert.Equal(SendOutcome.Unknown, Assert.IsType<UndeliveredException>(await failed.Task.InTime()).Outcome);
        harbour.Start(ManyAsync);
        await harbour.UntilAsync(ClientState.Connected);
        Assert.Equal(100, asked);

        failed = new();
        harbour.Lines();
        await client.SendAsync("go");
        await Limits.UntilAsync(() => harbour.Lines().Contains("what?"), "the handler did not ask");
        await client.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5)); // soon after the drain is over
        Assert.IsType<UndeliveredException>(await failed.Task.InTime());
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task A_timeout_that_no_timer_can_count_is_refused_never_sent_and_holds_nothing_up(bool isConnected)
    {
        await using var harbour = new Harbour(Rig.Memory);
        await using var client = harbour.Client(o => o.Session = new() { Correlation = Correlate.InOrder<string>() });
        if (isConnected)
        {
            harbour.Start();
            await harbour.UntilAsync(ClientState.Connected);
            await Limits.UntilAsync(() => harbour.Accepted == 1, "the server does not know whom to cut");
        }

        foreach (var timeout in new[] { TimeSpan.FromSeconds(-1), TimeSpan.MaxValue })
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => client.RequestAsync("never", timeout).InTime());
        if (isConnected)
            harbour.Cut();
        else
            harbour.Start();
        await harbour.UntilAsync(ClientState.Connected);
        Assert.Equal("re: b", await client.RequestAsync("b", TimeSpan.FromDays(49)).InTime());
        await client.DisposeAsync().AsTask().WaitAsync(TimeSpan.FromSeconds(5));
        Assert.DoesNotContain("never", harbour.Lines());
        Assert.Throws<ArgumentOutOfRangeException>(() => harbour.Client(o => o.LoginTimeout = TimeSpan.FromDays(50)));
        Assert.Throws<ArgumentOutOfRangeException>(() => harbour.Client(o => o.DrainTimeout = TimeSpan.FromDays(50)));
    }

    [Fact]
    public async Task What_was_received_before_the_end_comes_before_what_is_received_after_it()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start(async (session, line) =>
        {
            for (var i = 0; i < 3; i++)
                await session.SendAsync($"{line} {i}");
        });
        await using var client = harbour.Client();
        await client.SendAsync("a");
        await client.SendAsync("b");
        Assert.Equal("a", await harbour.LineAsync());
        Assert.Equal("b", await harbour.LineAsync());
        await harbour.DrainAsync();
        Assert.Equal(CloseReason.Eof,
            Assert.IsType<ConnectionException>((await harbour.UntilAsync(ClientState.Waiting)).Error).CloseReason);
        harbour.Start();
        await client.SendAsync("c");
        Assert.Equal(["a 0", "a 1", "a 2", "b 0", "b 1", "b 2", "re: c"], await TakeAsync(client, 7));
    }

    [Fact]
    public async Task Messages_may_be_enumerated_again_but_not_twice_at_a_time()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start();
        await using var client = harbour.Client();
        await client.SendAsync("a");
        await client.SendAsync("b");
        Assert.Equal(["re: a"], await TakeAsync(client, 1));
        Assert.Equal(["re: b"], await TakeAsync(client, 1));
        var first = client.Messages.GetAsyncEnumerator();
        var waiting = first.MoveNextAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => TakeAsync(client, 1));
        await client.DisposeAsync();
        Assert.False(await waiting.InTime());
    }

    [Fact]
    public async Task A_message_handler_answers_on_the_connection_it_was_asked_on_and_its_fault_ends_that()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start(async (session, line) =>
        {
            if (line == "ask")
                await session.SendAsync("how are you?");
            if (line == "break")
                await session.SendAsync("fault");
        });
        await using var client = harbour.Client(o => o.OnMessage = (session, line) => line == "fault"
            ? throw new InvalidOperationException("planted") : session.SendAsync("well"));
        await client.SendAsync("ask");
        Assert.Equal("ask", await harbour.LineAsync());
        Assert.Equal("well", await harbour.LineAsync());
        await harbour.UntilAsync(ClientState.Connected);
        await client.SendAsync("break");
        Assert.Equal("planted", (await harbour.NextAsync()).Error?.Message);
        await harbour.UntilAsync(ClientState.Connected);
        await client.SendAsync("ask");
        Assert.Equal("break", await harbour.LineAsync());
        Assert.Equal("ask", await harbour.LineAsync());
        Assert.Equal("well", await harbour.LineAsync());
        Assert.Throws<InvalidOperationException>(() => client.Messages.GetAsyncEnumerator().MoveNextAsync().AsTask()
            .GetAwaiter().GetResult());
    }

    [Fact]
    public async Task A_server_that_accepts_and_closes_is_asked_ever_more_slowly_until_a_connection_lives()
    {
        var time = new ManualTime();
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start(configure: o => o.Admit = _ => false);
        await using var client = harbour.Client(o =>
        {
            o.Transport.Time = time;
            o.Reconnect = Backoff.Exponential(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8), random: () => 1);
        });
        var pauses = new List<double>();
        for (var i = 0; i < 6; i++)
        {
            var waiting = await harbour.UntilAsync(ClientState.Waiting);
            pauses.Add(waiting.Pause.TotalSeconds);
            Assert.IsType<ConnectionException>(waiting.Error);
            if (i == 5)
            {
                await harbour.StopAsync();
                harbour.Start();
            }

            time.Advance(waiting.Pause);
        }

        Assert.Equal([1, 2, 4, 8, 8, 8], pauses);
        await harbour.UntilAsync(ClientState.Connected);
        time.Advance(TimeSpan.FromSeconds(5)); // so long is a success
        await harbour.StopAsync();
        Assert.Equal(1, (await harbour.UntilAsync(ClientState.Waiting)).Pause.TotalSeconds);
    }

    [Fact]
    public async Task A_login_that_fails_or_hangs_is_a_failed_attempt_and_nothing_else_goes_out()
    {
        var time = new ManualTime();
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start();
        var logins = 0;
        await using var client = harbour.Client(o =>
        {
            o.Transport.Time = time;
            o.WhileDown = WhileDown.Buffer(100);
            o.Reconnect = Backoff.Constant(TimeSpan.FromSeconds(1));
            o.OnConnected = async (session, _) =>
            {
                await session.SendAsync("login");
                if (++logins == 1)
                    throw new InvalidOperationException("wrong password");
                if (logins == 2)
                    await Task.Delay(Timeout.Infinite, CancellationToken.None);
            };
        });
        await client.SendAsync("secret");
        var first = await harbour.UntilAsync(ClientState.Waiting);
        Assert.Equal("wrong password", first.Error!.Message);
        time.Advance(first.Pause);
        await Limits.UntilAsync(() => logins == 2, "no second login");
        time.Advance(TimeSpan.FromSeconds(10));
        var second = await harbour.UntilAsync(ClientState.Waiting);
        Assert.Equal("ETIMEDOUT", Assert.IsType<TimedOutException>(second.Error).Symbol);
        time.Advance(second.Pause);
        await harbour.UntilAsync(ClientState.Connected);
        while (await harbour.LineAsync() is var line && line != "secret")
            Assert.Equal("login", line);
        Assert.Equal(3, logins);
    }

    [Fact]
    public async Task It_goes_to_the_next_endpoint_and_stays_with_the_last_good_one()
    {
        await using var first = new Harbour("managed");
        await using var second = new Harbour("managed");
        first.Start();
        second.Start();
        await using var client = SocketClient.Create([first.Endpoint, second.Endpoint], Codec.Lines(), o =>
            (o.StableAfter, o.Reconnect) = (TimeSpan.Zero, Backoff.Constant(TimeSpan.FromMilliseconds(5))));
        await client.SendAsync("1");
        Assert.Equal("1", await first.LineAsync());
        await first.StopAsync();
        await Limits.UntilAsync(() => second.Accepted == 1, "it did not go to the next endpoint");
        await client.SendAsync("3");
        await Limits.UntilAsync(() => second.Lines().Contains("3"), "it did not go to the next endpoint");
        first.Start();
        second.Cut();
        await Limits.UntilAsync(() => second.Accepted == 2, "it did not come back to the last good one");
        await client.SendAsync("4");
        await Limits.UntilAsync(() => second.Lines().Contains("4"), "it did not stay with the last good one");
        Assert.Empty(first.Lines());
    }

    [Fact]
    public async Task A_name_that_cannot_be_resolved_is_asked_for_again_until_it_can()
    {
        await using var dns = new LoopbackDns();
        await using var harbour = new Harbour("managed");
        harbour.Start();
        var changes = Channel.CreateUnbounded<ClientStateChange>();
        await using var client = SocketClient.Create($"home.example:{harbour.Endpoint.Port}", Codec.Lines(), o =>
        {
            o.Resolver = dns.Resolver();
            o.Reconnect = Backoff.Constant(TimeSpan.FromMilliseconds(5));
            o.OnStateChanged = (_, change) => changes.Writer.TryWrite(change);
        });
        var sending = client.SendAsync("there");
        for (var failed = 0; failed < 3;)
        {
            if (await changes.Reader.ReadAsync(Limits.Soon) is { State: ClientState.Waiting } waiting)
            {
                Assert.IsType<ResolveException>(waiting.Error);
                failed++;
            }
        }

        dns.Add("home.example", type: 1, harbour.Endpoint.Host);
        await sending.InTime();
        Assert.Equal("there", await harbour.LineAsync());
    }

    [Fact]
    public async Task Giving_up_is_disposing_where_the_state_is_told()
    {
        await using var harbour = new Harbour(Rig.Memory);
        var failed = 0;
        await using var client = harbour.Client(o =>
        {
            o.DrainTimeout = TimeSpan.Zero;
            o.OnStateChanged = (client, now) =>
            {
                if (now.State == ClientState.Waiting && ++failed == 3)
                    _ = client.DisposeAsync();
            };
        });
        var error = await Assert.ThrowsAsync<UndeliveredException>(() => client.SendAsync("x").InTime());
        Assert.Equal((SendOutcome.NeverSent, "ESHUTDOWN"), (error.Outcome, error.Symbol));
        Assert.IsType<ConnectException>(error.InnerException);
        Assert.Equal(3, failed);
    }

    private static async Task<List<string>> TakeAsync(SocketClient<string> client, int count)
    {
        var taken = new List<string>();
        await foreach (var message in client.Messages.WithCancellation(Limits.Soon))
        {
            taken.Add(message);
            if (taken.Count == count)
                break;
        }

        return taken;
    }
}
