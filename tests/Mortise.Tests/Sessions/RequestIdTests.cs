using System.Collections.Concurrent;
using Mortise.Sessions.Asking;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>Ids of any type, ids that were given up, and a peer that does not read.</summary>
public sealed class RequestIdTests
{
    /// <summary><c>ID/TEXT</c>; without a slash there is no id.</summary>
    private static readonly Correlation<string> Slashed = Correlate.ById(
        (string s) => s.Contains('/') ? s[..s.IndexOf('/')] : null!, (s, id) => $"{id}/{s}",
        () => Guid.NewGuid().ToString("N"));

    [Theory, MemberData(nameof(RequestTests.Ways), MemberType = typeof(RequestTests))]
    public async Task Text_finds_its_request_and_what_has_no_id_is_the_handler_s(string way)
    {
        var heard = new ConcurrentQueue<string>();
        await using var pair = await Asking<string>.ConnectAsync(way, Codec.Lines(), new() { Correlation = Slashed },
            async (session, line) =>
            {
                await session.SendAsync("a word in between");
                await session.SendAsync(line.Replace("/", "/reply to ", StringComparison.Ordinal));
            });
        var handling = pair.Client.HandleAsync((_, line) =>
        {
            heard.Enqueue(line);
            return default;
        });
        var replies = await Task.WhenAll(Enumerable.Range(0, 200)
            .Select(n => pair.Client.RequestAsync($"question {n}").AsTask())).InTime();
        for (var n = 0; n < 200; n++)
            Assert.EndsWith($"/reply to question {n}", replies[n]);
        await Limits.UntilAsync(() => heard.Count == 200, $"{heard.Count} of 200 words came");
        Assert.All(heard, line => Assert.Equal("a word in between", line));
        Assert.False(handling.IsCompleted);
    }

    [Fact]
    public void An_id_under_way_is_not_given_twice_and_one_that_is_always_taken_is_a_fault()
    {
        var ids = new Queue<string>(["a", "a", "b"]);
        var requests = Correlate.ById((string s) => s, (_, id) => id, () => ids.Count > 0 ? ids.Dequeue() : "b")
            .Begin(accepted: false);
        var written = new List<string>();
        Assert.True(requests.TrySend(Make(requests), "", 10, written.Add));
        Assert.True(requests.TrySend(Make(requests), "", 10, written.Add));
        Assert.Equal(["a", "b"], written);
        Assert.Throws<InvalidOperationException>(() => requests.TrySend(Make(requests), "", 10, written.Add));
        Assert.Equal((2, 2), (requests.Count, written.Count));
    }

    [Theory, InlineData(false), InlineData(true)]
    public async Task A_late_reply_to_a_request_that_was_given_up_is_no_message_and_few_are_remembered(bool isCertain)
    {
        var next = 0;
        var requests = (RequestsById<string, string>)Correlate.ById((string s) => s, (_, id) => id, () => $"{next++}",
            isCertain ? _ => true : null).Begin(accepted: false);
        var waiting = Make(requests);
        Assert.True(requests.TrySend(waiting, "", 10, _ => { }));
        for (var i = 1; i <= 300; i++)
        {
            var request = Make(requests);
            Assert.True(requests.TrySend(request, "", 10, _ => { }));
            requests.GiveUp(request);
            requests.GiveUp(request); // its time and its token may both be over
            Assert.Equal(1, requests.Count);
        }

        Assert.Equal(isCertain ? 0 : 256, requests.Remembered);
        Assert.Equal(Match.Late, requests.Take("300"));
        Assert.Equal(isCertain ? Match.Late : Match.None, requests.Take("300")); // remembered for one reply
        Assert.Equal(isCertain ? Match.Late : Match.None, requests.Take("1")); // forgotten, as one of too many
        Assert.Equal(Match.Answered, requests.Take("0"));
        Assert.Equal("0", await waiting.Task.InTime());
        Assert.Equal(0, requests.Count);
    }

    [Theory, MemberData(nameof(RequestTests.Ways), MemberType = typeof(RequestTests))]
    public async Task To_a_peer_that_reads_nothing_a_request_ends_in_its_time_unsent(string way)
    {
        var gate = new TaskCompletionSource();
        var asked = 0;
        var options = new SessionOptions<string>
        {
            Correlation = Correlate.InOrder<string>(line => line.StartsWith("reply", StringComparison.Ordinal)),
            ReceiveQueueBytesMax = 1000,
        };
        await using var pair = await Asking<string>.ConnectAsync(way, Codec.Lines(), options, async (session, line) =>
        {
            await gate.Task;
            if (line.StartsWith("ask", StringComparison.Ordinal))
                await session.SendAsync($"reply {Interlocked.Increment(ref asked)} to {line}");
        });
        pair.Client.QueueBytesMax = 200_000;
        var padding = new string('.', 50_000);
        var full = 0; // the kernel takes some more while it can
        await Limits.UntilAsync(() => (full = pair.Client.TrySend(padding) ? 0 : full + 1) > 50, "it is never full");
        var error = await Assert.ThrowsAsync<TimedOutException>(
            () => pair.Client.RequestAsync("ask one", TimeSpan.FromMilliseconds(100)).InTime());
        Assert.Contains("the request was not sent", error.Message);
        Assert.Equal(0, pair.Client.RequestsUnderWay);
        gate.SetResult();
        Assert.Equal("reply 1 to ask two", await pair.Client.RequestAsync("ask two").InTime());
    }

    private static Request<string> Make(Requests<string> requests) => requests.Create(_ => new TimeoutException());
}
