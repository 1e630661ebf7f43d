using System.Collections.Concurrent;
using Mortise.Sessions.Asking;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>Requests over a user's own wire format: each reply finds its request, and nothing stays behind.</summary>
[Collection("alone")]
public sealed class RequestTests
{
    private static readonly SessionOptions<Call> Certain = new()
    {
        Correlation = Correlate.ById((Call c) => c.Id, (c, id) => c with { Id = id }, c => c.Kind == Call.Reply),
        RequestTimeout = TimeSpan.FromMinutes(1),
    };

    private static readonly SessionOptions<Call> ByIdAlone = new()
    {
        Correlation = Correlate.ById((Call c) => c.Id, (c, id) => c with { Id = id }),
        RequestTimeout = TimeSpan.FromMinutes(1),
    };

    private static readonly SessionOptions<string> InOrder = new() { Correlation = Correlate.InOrder<string>() };

    public static TheoryData<string> Ways { get; } =
        [Rig.Memory, nameof(EngineKind.Managed), nameof(EngineKind.Epoll), nameof(EngineKind.IoUring)];

    /// <summary>
    /// The server's handler asks the client back for every 50th request and waits for that; the client's handler asks
    /// nobody, so the two never wait for each other.
    /// </summary>
    [Theory, MemberData(nameof(Ways))]
    public async Task Each_of_100_000_replies_finds_its_request_both_ways_at_once_and_out_of_order(string way)
    {
        const int Requests = 50_000, Window = 1000;
        var (disorder, nested, last) = (0, 0, 0L);
        ValueTask Reply(Session<Call> session, Call call)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static x =>
            {
                if (x.call.Value % 3 == 0)
                    Thread.Yield();
                x.session.TrySend(x.call.Answer(x.call.Value * 7 + 1));
            }, (session, call), preferLocal: call.Value % 2 == 0);
            return default;
        }

        await using var pair = await Asking<Call>.ConnectAsync(way, Call.Codec, Certain, async (session, call) =>
        {
            if (call.Value % 50 == 0)
            {
                var back = await session.RequestAsync(new Call(0, Call.Nested, call.Value));
                Assert.Equal((Call.Reply, call.Value * 7 + 1), (back.Kind, back.Value));
                Interlocked.Increment(ref nested);
            }

            await Reply(session, call);
        });
        var client = pair.Client;
        var handling = client.HandleAsync(Reply);
        async Task AskAsync(Session<Call> session, long first)
        {
            var next = first - 1;
            await Task.WhenAll(Enumerable.Range(0, Window).Select(_ => Task.Run(async () =>
            {
                while (Interlocked.Increment(ref next) is var value && value < first + Requests)
                {
                    var reply = await session.RequestAsync(new Call(0, Call.Request, value));
                    Assert.Equal((Call.Reply, value * 7 + 1), (reply.Kind, reply.Value));
                    if (Interlocked.Exchange(ref last, reply.Id) > reply.Id)
                        Interlocked.Increment(ref disorder);
                }
            })));
        }

        var asking = AskAsync(client, 1_000_000);
        var served = await pair.Served;
        await Task.WhenAll(asking, AskAsync(served, 2_000_000)).WaitAsync(TimeSpan.FromMinutes(2));
        Assert.InRange(disorder, 1, int.MaxValue);
        Assert.Equal(Requests / 50, nested);
        Assert.Equal((0, 0), (client.RequestsUnderWay, served.RequestsUnderWay));
        Assert.False(handling.IsCompleted);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Both_sides_number_differently_so_that_ids_alone_tell_replies(string way)
    {
        var ids = new ConcurrentBag<long>();
        ValueTask Double(Session<Call> session, Call call)
        {
            ids.Add(call.Id);
            return session.SendAsync(call with { Value = call.Value * 2 });
        }

        await using var pair = await Asking<Call>.ConnectAsync(way, Call.Codec, ByIdAlone, Double);
        _ = pair.Client.HandleAsync(Double);
        Assert.Equal(2, (await pair.Client.RequestAsync(new(0, 0, 1)).InTime()).Value);
        var served = await pair.Served;
        await Task.WhenAll(Enumerable.Range(1, 500).SelectMany(n => new[] { pair.Client, served }.Select(async s =>
            Assert.Equal(2 * n, (await s.RequestAsync(new(0, 0, n)).InTime()).Value))));
        Assert.Equal(1001, ids.Distinct().Count());
        Assert.DoesNotContain(0, ids);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Timeouts_and_cancellation_leave_nothing_and_a_late_reply_is_dropped(string way)
    {
        var held = new ConcurrentQueue<Call>();
        await using var pair = await Asking<Call>.ConnectAsync(way, Call.Codec, Certain, (session, call) =>
        {
            if (call.Value != 0)
            {
                held.Enqueue(call);
                return default;
            }

            while (held.TryDequeue(out var late))
                session.TrySend(late.Answer(-1));
            return session.SendAsync(call.Answer(1));
        });
        var before = LateReplies.Total;
        using var cancel = new CancellationTokenSource();
        var timed = Enumerable.Range(1, 100).Select(n =>
            pair.Client.RequestAsync(new(0, 0, n), TimeSpan.FromMilliseconds(50)).AsTask()).ToList();
        var cancelled = Enumerable.Range(1, 100).Select(n =>
            pair.Client.RequestAsync(new(0, 0, n), cancellationToken: cancel.Token).AsTask()).ToList();
        foreach (var request in timed)
            Assert.Contains("no reply came within 0.05 s",
                (await Assert.ThrowsAsync<TimedOutException>(() => request.InTime())).Message);
        await cancel.CancelAsync();
        foreach (var request in cancelled)
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => request.InTime());
        Assert.Equal(0, pair.Client.RequestsUnderWay);
        await Limits.UntilAsync(() => held.Count == 200, $"{held.Count} of 200 requests came");
        Assert.Equal(1, (await pair.Client.RequestAsync(new(0, 0, 0)).InTime()).Value);
        Assert.Equal(200, LateReplies.Total - before);
        Assert.False(pair.Client.TryNext(out _));
    }

    [Fact]
    public async Task A_request_that_is_over_is_not_held_by_its_token()
    {
        await using var pair = await Asking<Call>.ConnectAsync(Rig.Memory, Call.Codec, Certain,
            (session, call) => session.SendAsync(call.Answer(1)));
        using var token = new CancellationTokenSource();
        var replies = new List<WeakReference>();
        for (var i = 0; i < 100; i++)
            replies.Add(await AskAsync(pair.Client, token.Token));
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        Assert.InRange(replies.Count(r => r.IsAlive), 0, 2);

        static async Task<WeakReference> AskAsync(Session<Call> session, CancellationToken token)
        {
            var request = session.RequestAsync(new(0, 0, 7), cancellationToken: token).AsTask();
            await request.InTime();
            return new WeakReference(request);
        }
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task A_reset_fails_every_request_with_its_reason(string way)
    {
        var came = 0;
        await using var pair = await Asking<Call>.ConnectAsync(way, Call.Codec, Certain, (session, _) =>
        {
            if (Interlocked.Increment(ref came) == 100)
                session.Abort();
            return default;
        });
        var requests = Enumerable.Range(0, 100).Select(n => pair.Client.RequestAsync(new(0, 0, n)).AsTask()).ToList();
        foreach (var request in requests)
            Assert.Equal(CloseReason.Reset,
                (await Assert.ThrowsAsync<ConnectionException>(() => request.InTime())).CloseReason);
        var after = await Assert.ThrowsAsync<ConnectionException>(
            async () => await pair.Client.RequestAsync(new(0, 0, 1)));
        Assert.Equal((CloseReason.Reset, 0), (after.CloseReason, pair.Client.RequestsUnderWay));
    }

    [Fact]
    public async Task A_peer_that_finishes_and_an_own_end_fail_requests_with_their_reasons()
    {
        await using var pair = await Asking<string>.ConnectAsync(Rig.Memory, Codec.Lines(), InOrder,
            (session, _) => session.Connection.ShutdownSendAsync());
        var request = pair.Client.RequestAsync("bye").AsTask();
        Assert.Equal(CloseReason.Eof,
            (await Assert.ThrowsAsync<ConnectionException>(() => request.InTime())).CloseReason);

        await using var other = await Asking<string>.ConnectAsync(Rig.Memory, Codec.Lines(), InOrder,
            (_, _) => default);
        request = other.Client.RequestAsync("nothing").AsTask();
        await other.Client.DisposeAsync();
        Assert.Equal(CloseReason.Local,
            (await Assert.ThrowsAsync<ConnectionException>(() => request.InTime())).CloseReason);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task In_order_a_request_that_was_given_up_keeps_its_place(string way)
    {
        var gate = new TaskCompletionSource();
        await using var pair = await Asking<string>.ConnectAsync(way, Codec.Lines(), InOrder, async (s, line) =>
        {
            if (line == "slow")
                await gate.Task;
            await s.SendAsync(line.ToUpperInvariant());
        });
        Assert.Equal("A", await pair.Client.RequestAsync("a").InTime());
        var slow = pair.Client.RequestAsync("slow", TimeSpan.FromMilliseconds(50)).AsTask();
        await Assert.ThrowsAsync<TimedOutException>(() => slow.InTime());
        var rest = Enumerable.Range(0, 50).Select(n => pair.Client.RequestAsync($"b{n}").AsTask()).ToList();
        gate.SetResult();
        for (var n = 0; n < 50; n++)
            Assert.Equal($"B{n}", await rest[n].InTime());
        Assert.Equal(0, pair.Client.RequestsUnderWay);
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task Frames_that_wait_for_a_busy_handler_own_their_bytes(string way)
    {
        var options = new SessionOptions<ReadOnlyMemory<byte>>
        {
            Correlation = Correlate.InOrder<ReadOnlyMemory<byte>>(frame => frame.Span[0] == 255),
            ReceiveQueueBytesMax = 40_000,
        };
        var seen = new ConcurrentQueue<byte[]>();
        await using var pair = await Asking<ReadOnlyMemory<byte>>.ConnectAsync(way, Codec.LengthPrefixed(), options,
            async (session, frame) =>
            {
                if (seen.IsEmpty)
                    Assert.Equal(5000, (await session.RequestAsync(new byte[] { 254 })).Length);
                seen.Enqueue(frame.ToArray());
            });
        for (byte n = 1; n <= 5; n++)
            await pair.Client.SendAsync(Enumerable.Repeat(n, 5000).ToArray());
        Assert.Equal(254, (await pair.Client.ReceiveAsync(Limits.Soon)).Span[0]);
        await pair.Client.SendAsync(Enumerable.Repeat((byte)255, 5000).ToArray());
        for (byte n = 6; n <= 100; n++) // far more than may wait: reading stops, and goes on
            await pair.Client.SendAsync(Enumerable.Repeat(n, 5000).ToArray()).InTime();
        await Limits.UntilAsync(() => seen.Count == 100, $"{seen.Count} of 100 frames came");
        Assert.All(seen, (bytes, i) => Assert.All(bytes, b => Assert.Equal(i + 1, b)));
    }

    [Fact]
    public async Task A_reply_behind_a_full_queue_times_out_and_the_error_says_why()
    {
        var options = new SessionOptions<string>
        {
            Correlation = Correlate.InOrder<string>(line => line == "reply"),
            ReceiveQueueBytesMax = 1000,
            RequestTimeout = TimeSpan.FromSeconds(3),
        };
        var failed = new TaskCompletionSource<string>();
        await using var pair = await Asking<string>.ConnectAsync(Rig.Memory, Codec.Lines(), options, async (s, _) =>
        {
            if (!failed.Task.IsCompleted)
                failed.SetResult((await Assert.ThrowsAsync<TimedOutException>(
                    async () => await s.RequestAsync("what?"))).Message);
        });
        for (var i = 0; i < 100; i++)
            await pair.Client.SendAsync("message");
        Assert.Contains("raise SessionOptions.ReceiveQueueBytesMax", await failed.Task.InTime());
        await Limits.UntilAsync(() => pair.Client.Connection.BytesQueued == 0, "the session did not go on");
    }

    [Theory, MemberData(nameof(Ways))]
    public async Task A_request_behind_a_full_queue_fails_when_the_connection_dies(string way)
    {
        var options = new SessionOptions<string>
        {
            Correlation = Correlate.InOrder<string>(line => line == "reply"),
            ReceiveQueueBytesMax = 1000,
            RequestTimeout = Timeout.InfiniteTimeSpan,
        };
        var failed = new TaskCompletionSource<Exception>();
        var handled = 0;
        await using var pair = await Asking<string>.ConnectAsync(way, Codec.Lines(), options, async (s, _) =>
        {
            if (Interlocked.Increment(ref handled) == 1)
                failed.SetResult(await Assert.ThrowsAnyAsync<Exception>(async () => await s.RequestAsync("what?")));
        });
        for (var i = 0; i < 100; i++)
            await pair.Client.SendAsync("message");
        var served = await pair.Served;
        await Limits.UntilAsync(() => served.Connection.BytesReceived >= 14 * 8, "the queue is not full");
        pair.Client.Abort();
        await Limits.UntilAsync(() => !served.TrySend("beat"), "the end was not seen"); // nothing is read that tells it
        Assert.IsType<ConnectionException>(await failed.Task.InTime());
    }

    [Theory, InlineData("in order"), InlineData("by id")]
    public async Task A_reply_that_is_read_after_its_request_failed_is_no_message(string how)
    {
        var requests = (how == "by id" ? Correlate.ById((string s) => s, (_, id) => id, () => "a")
            : Correlate.InOrder<string>()).Begin(accepted: false);
        var request = requests.Create(_ => new TimeoutException());
        Assert.True(requests.TrySend(request, "a", 10, _ => { }));
        requests.Fail(() => new InvalidOperationException("over"));
        await Assert.ThrowsAsync<InvalidOperationException>(() => request.Task.InTime());
        Assert.Equal(Match.Late, requests.Take("a"));
        Assert.Equal(Match.None, requests.Take("a"));
    }

    [Fact]
    public async Task A_timeout_that_no_timer_can_count_is_refused_and_nothing_is_sent()
    {
        await using var pair = await Asking<string>.ConnectAsync(Rig.Memory, Codec.Lines(), InOrder, (s, line) =>
            s.SendAsync(line));
        foreach (var timeout in new[] { TimeSpan.FromSeconds(-1), TimeSpan.MaxValue })
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () =>
                await pair.Client.RequestAsync("never", timeout));
        Assert.Throws<ArgumentOutOfRangeException>(() => new SessionOptions<string>
        {
            RequestTimeout = TimeSpan.FromDays(50),
        });
        Assert.Equal("a", await pair.Client.RequestAsync("a", TimeSpan.FromDays(49)).InTime());
        Assert.Equal("b", await pair.Client.RequestAsync("b", Timeout.InfiniteTimeSpan).InTime());
    }

    [Fact]
    public async Task More_requests_than_allowed_and_a_session_without_correlation_are_refused()
    {
        var few = new SessionOptions<Call> { Correlation = Certain.Correlation, RequestsMax = 2 };
        await using var pair = await Asking<Call>.ConnectAsync(Rig.Memory, Call.Codec, few, (_, _) => default);
        var first = pair.Client.RequestAsync(new(0, 0, 1)).AsTask();
        var second = pair.Client.RequestAsync(new(0, 0, 2)).AsTask();
        var error = await Assert.ThrowsAsync<MortiseException>(async () => await pair.Client.RequestAsync(new()));
        Assert.Contains("2 requests wait for their replies (EAGAIN)", error.Message);
        Assert.False(first.IsCompleted || second.IsCompleted);

        await using var rig = await Rig.ConnectAsync(Rig.Memory);
        var plain = new Session<Call>(rig.Client, Call.Codec);
        Assert.Contains("Correlat", (await Assert.ThrowsAsync<InvalidOperationException>(
            async () => await plain.RequestAsync(new()))).Message);
    }

    [Fact]
    public void Small_ids_start_again_and_skip_those_under_way()
    {
        var requests = Correlate.ById((byte b) => b, (_, id) => id).Begin(accepted: false);
        var written = new List<byte>();
        var kept = requests.Create(_ => new TimeoutException());
        Assert.True(requests.TrySend(kept, 0, 10_000, written.Add));
        for (var i = 0; i < 1000; i++)
        {
            Assert.True(requests.TrySend(requests.Create(_ => new TimeoutException()), 0, 10_000, written.Add));
            Assert.Equal(Match.Answered, requests.Take(written[^1]));
        }

        Assert.All(written, id => Assert.Equal(1, id % 2));
        Assert.Single(written, id => id == 1);
        Assert.Equal(1, requests.Count);
    }
}
