using System.Globalization;
using Mortise.Telemetry;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>One member does not read. The others get everything, and it gets what the policy says.</summary>
public sealed class SlowReaderTests
{
    private const int Lines = 400;
    private const int QueueBytes = 200_000;
    private static readonly string Padding = new('.', 8000);

    [Theory, MemberData(nameof(Hall.Kernel), MemberType = typeof(Hall))]
    public async Task Disconnect_closes_it_and_the_others_get_everything(string way)
    {
        await using var hall = Open(way, SlowReaders.Disconnect);
        var (others, stopped, member) = await GatherAsync(hall);
        var before = MortiseMeter.Totals()[Metrics.SlowDisconnects];
        await TalkAsync(hall, others);
        await Limits.UntilAsync(() => member.CloseReason is not null, "it was not closed");
        Assert.Equal(CloseReason.SlowReader, member.CloseReason);
        Assert.True(member.Missed > 0);
        await Limits.UntilAsync(() => hall["all"].Count == others.Count, "it is still a member");
        await Limits.UntilAsync(() => hall.Server.Statistics.Closed(CloseReason.SlowReader) == 1, "not counted");
        Assert.True(MortiseMeter.Totals()[Metrics.SlowDisconnects] > before);
        await Assert.ThrowsAsync<ConnectionException>(() => GroupTests.HearAsync(stopped, Lines).InTime());
    }

    [Theory, MemberData(nameof(Hall.Kernel), MemberType = typeof(Hall))]
    public async Task DropNewest_keeps_what_waits_and_says_how_many_it_missed(string way)
    {
        await using var hall = Open(way, SlowReaders.DropNewest);
        var (others, stopped, member) = await GatherAsync(hall);
        await TalkAsync(hall, others);
        Assert.InRange(member.Connection.BytesQueued, 1, QueueBytes);
        var (numbers, missed) = await ResumeAsync(hall, stopped, member, SlowReaders.DropNewest);
        // A beginning without a hole, then the notice, then what was said after it.
        var kept = numbers.IndexOf(Lines);
        Assert.Equal(Enumerable.Range(0, kept), numbers[..kept]);
        Assert.Equal(Lines - kept, missed);
        Assert.Equal(missed, member.Missed);
    }

    [Theory, MemberData(nameof(Hall.Kernel), MemberType = typeof(Hall))]
    public async Task DropOldest_keeps_the_newest_and_says_how_many_it_missed_where_they_are_missing(string way)
    {
        await using var hall = Open(way, SlowReaders.DropOldest);
        var (others, stopped, member) = await GatherAsync(hall);
        var dropped = MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.SlowReader];
        await TalkAsync(hall, others);
        Assert.InRange(member.Connection.BytesQueued, 1, QueueBytes / 2 + 1);
        Assert.True(MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.SlowReader] >= dropped + member.Missed);
        var (numbers, missed) = await ResumeAsync(hall, stopped, member, SlowReaders.DropOldest);
        Assert.Equal(0, numbers[0]);
        Assert.Equal(missed, numbers.Zip(numbers.Skip(1), (one, next) => next - one - 1).Sum());
        Assert.Equal(missed, member.Missed);
    }

    [Theory, MemberData(nameof(Hall.Kernel), MemberType = typeof(Hall))]
    public async Task Wait_lets_who_awaits_wait_and_loses_nothing(string way)
    {
        await using var hall = Open(way, SlowReaders.Wait);
        var (others, stopped, member) = await GatherAsync(hall);
        var hearing = others.Select(o => GroupTests.HearAsync(o, Lines)).ToList();
        var said = 0;
        var talking = Task.Run(async () =>
        {
            for (; said < Lines; said++)
                Assert.Equal(new BroadcastResult(others.Count + 1, 0),
                    await hall["all"].BroadcastAsync($"{said} {Padding}"));
        });
        // Full once, it is waited for until all of that has gone, and it takes nothing.
        await Limits.UntilAsync(() => talking.IsCompleted || said > 0 && hall["all"].Members
            .All(m => m == member ? m.Connection.BytesQueued > 0 : m.Connection.BytesQueued == 0), "nobody waits");
        var before = Volatile.Read(ref said);
        await Task.Delay(100);
        Assert.False(talking.IsCompleted, talking.Exception?.ToString());
        Assert.InRange(Volatile.Read(ref said), before, Lines - 1);
        Assert.InRange(member.Connection.BytesQueued, 1, QueueBytes);
        hall["all"].Broadcast("no room for " + new string('x', QueueBytes));
        await Limits.UntilAsync(() => member.Missed == 1, "who cannot wait is not held back");
        var heard = await GroupTests.HearAsync(stopped, Lines + 1).InTime();
        Assert.Contains("missed 1", heard);
        Assert.Equal(Enumerable.Range(0, Lines), heard.Where(l => l != "missed 1").Select(Number));
        await talking.InTime();
        await Task.WhenAll(hearing).InTime();
    }

    [Theory, MemberData(nameof(Hall.Kernel), MemberType = typeof(Hall))]
    public async Task Those_that_wait_for_room_are_written_in_the_order_in_which_they_were_said(string way)
    {
        await using var hall = Open(way, SlowReaders.Wait);
        var (stopped, member) = await hall.EnterAsync(slow: true);
        hall["all"].Add(member);
        var saying = Enumerable.Range(0, Lines).Select(i => hall["all"].BroadcastAsync($"{i} {Padding}").AsTask())
            .ToList();
        await Limits.UntilAsync(() => member.Connection.BytesQueued > 0, "nobody waits");
        var heard = await GroupTests.HearAsync(stopped, Lines).InTime();
        Assert.Equal(Enumerable.Range(0, Lines), heard.Select(Number));
        Assert.All(await Task.WhenAll(saying).InTime(), r => Assert.Equal(new BroadcastResult(1, 0), r));
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task A_message_longer_than_the_queue_reaches_who_reads(string way)
    {
        await using var hall = Open(way, SlowReaders.Disconnect, queueBytes: 1000);
        var pairs = await hall.EnterAsync("all", 3);
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(new BroadcastResult(3, 0), await hall["all"].BroadcastAsync(i + new string('x', 100_000)));
            foreach (var (client, _) in pairs)
                Assert.StartsWith(i + "x", await client.ReceiveAsync(Limits.Soon));
            await Limits.UntilAsync(() => pairs.All(p => p.Member.Connection.BytesQueued == 0), "not sent");
        }
    }

    private static Hall Open(string way, SlowReaders policy, long queueBytes = QueueBytes) => Hall.Open(way, o =>
    {
        o.SlowReaders = policy;
        o.QueueBytesMax = queueBytes;
        o.Transport.SendBufferBytes = 16 * 1024;
    });

    private static async Task<(List<Session<string>> Others, Session<string> Stopped, Session<string> Member)>
        GatherAsync(Hall hall)
    {
        var others = (await hall.EnterAsync("all", 5)).Select(p => p.Client).ToList();
        var (stopped, member) = await hall.EnterAsync(slow: true);
        member.OnMissed = (s, count) => Assert.True(s.TrySend($"missed {count}"));
        hall["all"].Add(member);
        return (others, stopped, member);
    }

    /// <summary>The next line is said when all others have the last: none of them is slow.</summary>
    private static async Task TalkAsync(Hall hall, List<Session<string>> others)
    {
        for (var i = 0; i < Lines; i++)
        {
            hall["all"].Broadcast($"{i} {Padding}");
            foreach (var other in others)
                Assert.Equal(i, Number(await other.ReceiveAsync(Limits.Soon)));
        }
    }

    /// <summary>It reads on: what it hears up to a last word, and what it is told that it missed.</summary>
    private static async Task<(List<int> Numbers, int Missed)> ResumeAsync(Hall hall, Session<string> stopped,
        Session<string> member, SlowReaders policy)
    {
        var numbers = new List<int>();
        var notices = new List<(int At, int Missed)>();
        while (numbers is [] || numbers[^1] != Lines)
        {
            var line = await stopped.ReceiveAsync(Limits.Soon);
            var isNotice = line.StartsWith("missed ", StringComparison.Ordinal);
            if (isNotice)
                notices.Add((numbers.Count, int.Parse(line[7..], CultureInfo.InvariantCulture)));
            else
                numbers.Add(Number(line));
            if (isNotice ? policy == SlowReaders.DropNewest : numbers[^1] == Lines - 1)
                Assert.True(hall["all"].TrySend(member.Id, $"{Lines} the end"));
        }

        // The kernel may have taken some more in between: then there are several holes.
        if (policy == SlowReaders.DropOldest)
            Assert.All(notices, n => Assert.Equal(n.Missed, numbers[n.At] - numbers[n.At - 1] - 1));
        return (numbers, notices.Sum(n => n.Missed));
    }

    private static int Number(string line) => int.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture);
}
