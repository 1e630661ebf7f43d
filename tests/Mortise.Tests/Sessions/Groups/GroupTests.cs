using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>Who is in a group, and what everybody in it hears.</summary>
public sealed class GroupTests
{
    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Members_join_are_counted_listed_spoken_to_and_leave(string way)
    {
        await using var hall = Hall.Open(way);
        var lobby = hall["lobby"];
        var (ada, a) = await hall.EnterAsync();
        var (bob, b) = await hall.EnterAsync();
        var (cy, c) = await hall.EnterAsync();
        Assert.Equal(default, lobby.Broadcast("nobody hears this"));
        Assert.True(lobby.Add(a));
        Assert.True(a.Groups["lobby"].Add(b));
        Assert.False(lobby.Add(b));
        Assert.True(lobby.Add(c));
        Assert.Equal(3, lobby.Count);
        Assert.True(lobby.Contains(b));
        Assert.False(hall["Lobby"].Contains(b));
        Assert.Equal(new[] { a.Id, b.Id, c.Id }.Order(), lobby.Members.Select(m => m.Id).Order());

        Assert.Equal(new BroadcastResult(2, 0), lobby.Broadcast("one", except: a));
        Assert.Equal(new BroadcastResult(3, 0), await lobby.BroadcastAsync("two"));
        Assert.True(lobby.TrySend(c.Id, "only you"));
        Assert.False(lobby.TrySend(-1, "nobody"));
        Assert.True(lobby.Remove(b));
        Assert.False(lobby.Remove(b));
        Assert.Equal(new BroadcastResult(2, 0), await lobby.BroadcastAsync("three"));
        Assert.Equal(["two", "three"], await HearAsync(ada, 2));
        Assert.Equal(["one", "two"], await HearAsync(bob, 2));
        Assert.Equal(["one", "two", "only you", "three"], await HearAsync(cy, 4));
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Who_ends_leaves_by_itself_and_an_empty_group_is_gone(string way)
    {
        await using var hall = Hall.Open(way);
        var (ada, a) = await hall.EnterAsync();
        var (bob, b) = await hall.EnterAsync();
        var (_, c) = await hall.EnterAsync();
        foreach (var name in new[] { "x", "y" })
            foreach (var member in new[] { a, b, c })
                hall[name].Add(member);
        await ada.DisposeAsync();
        await Limits.UntilAsync(() => hall["x"].Count == 2 && hall["y"].Count == 2, "a FIN left a member behind");
        bob.Abort();
        await Limits.UntilAsync(() => hall["x"].Count == 1 && hall["y"].Count == 1, "a reset left a member behind");
        c.Abort();
        await Limits.UntilAsync(() => hall["x"].Count == 0 && hall["y"].Count == 0, "an abort left a member behind");
        Assert.False(hall["x"].Add(c));
        Assert.Equal(default, hall["x"].Broadcast("anybody?"));
        Assert.Equal(0, hall["x"].Count);
    }

    [Fact]
    public async Task Names_sessions_and_servers_have_their_limits()
    {
        await using var hall = Hall.Open("memory");
        await using var other = Hall.Open("memory");
        var (_, a) = await hall.EnterAsync();
        Assert.True(hall[new string('ü', 64)].Add(a));
        var tooLong = Assert.Throws<GroupLimitException>(() => hall[new string('ü', 64) + "!"]);
        Assert.Contains("128 bytes", tooLong.Message);
        for (var i = 1; i < 64; i++)
            Assert.True(hall[$"room {i}"].Add(a));
        var tooMany = Assert.Throws<GroupLimitException>(() => hall["one more"].Add(a));
        Assert.Equal("group_limit", tooMany.Symbol);
        Assert.Equal(0, hall["one more"].Count);
        Assert.True(hall["room 1"].Remove(a));
        Assert.True(hall["one more"].Add(a));
        Assert.Throws<ArgumentException>(() => other["x"].Add(a));
        Assert.True(ErrorCatalogue.TryFind("group_limit", out _));
    }

    [Fact]
    public async Task A_server_has_at_most_100_000_groups_and_those_that_vanish_make_room()
    {
        await using var hall = Hall.Open("memory");
        var pairs = await hall.EnterAsync("room 0", 100_000 / 63 + 2);
        var made = 1;
        foreach (var (_, member) in pairs)
            for (var i = 0; i < 63 && made < 100_000; i++)
                Assert.True(hall[$"room {made++}"].Add(member));
        var last = pairs[^1].Member;
        Assert.Throws<GroupLimitException>(() => hall["one more"].Add(last));
        Assert.True(hall["room 7"].Remove(pairs[0].Member));
        Assert.True(hall["one more"].Add(last));
        Assert.Throws<GroupLimitException>(() => hall["room 7"].Add(last));
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Membership_is_right_whatever_happens_at_the_same_time(string way)
    {
        const int Hands = 4, Each = 5, Steps = 500;
        await using var hall = Hall.Open(way);
        string[] names = ["red", "green", "blue"];
        var pairs = await hall.EnterAsync("all", Hands * Each);
        var drains = pairs.Select(p => Task.Run(async () =>
        {
            await foreach (var _ in p.Client.Messages)
                ;
        })).ToList();
        using var over = new CancellationTokenSource();
        var talking = Task.Run(async () =>
        {
            while (!over.IsCancellationRequested)
                foreach (var name in names)
                    await hall[name].BroadcastAsync("hello");
        });
        var models = await Task.WhenAll(Enumerable.Range(0, Hands).Select(hand => Task.Run(() =>
        {
            var random = new Random(hand);
            var model = new HashSet<(string, long)>();
            for (var step = 0; step < Steps; step++)
            {
                var name = names[random.Next(names.Length)];
                var member = pairs[hand * Each + random.Next(Each)].Member;
                if (random.Next(2) == 0)
                    Assert.Equal(model.Add((name, member.Id)), hall[name].Add(member));
                else
                    Assert.Equal(model.Remove((name, member.Id)), hall[name].Remove(member));
                Assert.Equal(model.Contains((name, member.Id)), hall[name].Contains(member));
            }

            return model;
        }))).InTime();
        await over.CancelAsync();
        await talking.InTime();
        var expected = models.SelectMany(m => m).ToHashSet();
        foreach (var name in names)
        {
            Assert.Equal(expected.Where(e => e.Item1 == name).Select(e => e.Item2).Order(),
                hall[name].Members.Select(m => m.Id).Order());
            Assert.Equal(expected.Count(e => e.Item1 == name), hall[name].Count);
        }

        pairs.ForEach(p => p.Client.Abort());
        await Task.WhenAll(drains).ContinueWith(_ => { }, TaskScheduler.Default).InTime();
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Everybody_gets_everything_once_and_in_each_speakers_order(string way)
    {
        const int Members = 20, Speakers = 3, Lines = 300;
        await using var hall = Hall.Open(way);
        var pairs = await hall.EnterAsync("all", Members);
        var hearing = pairs.Select(p => HearAsync(p.Client, Speakers * Lines)).ToList();
        await Task.WhenAll(Enumerable.Range(0, Speakers).Select(speaker => Task.Run(() =>
        {
            for (var i = 0; i < Lines; i++)
                Assert.Equal(new BroadcastResult(Members, 0), hall["all"].Broadcast($"{speaker} {i}"));
        }))).InTime();
        foreach (var heard in await Task.WhenAll(hearing).InTime())
            for (var speaker = 0; speaker < Speakers; speaker++)
                Assert.Equal(Enumerable.Range(0, Lines).Select(i => $"{speaker} {i}"),
                    heard.Where(l => l.StartsWith($"{speaker} ", StringComparison.Ordinal)));
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task A_handler_that_talks_more_than_a_turn_holds_is_heard_in_order(string way)
    {
        const int Lines = 40;
        await using var hall = Hall.Open(way);
        var pairs = await hall.EnterAsync("all", 6);
        hall.OnLine = (s, line) =>
        {
            for (var i = 0; i < Lines && line == "go"; i++)
                s.Groups["all"].Broadcast($"{i} {new string('.', 9_000)}");
            return ValueTask.CompletedTask;
        };
        var hearing = pairs.Select(p => HearAsync(p.Client, Lines)).ToList();
        await pairs[0].Client.SendAsync("go");
        foreach (var heard in await Task.WhenAll(hearing).InTime())
            Assert.Equal(Enumerable.Range(0, Lines), heard.Select(l => int.Parse(l.Split(' ')[0])));
    }

    [Fact]
    public async Task A_message_that_cannot_be_encoded_reaches_nobody_and_harms_nobody()
    {
        await using var hall = Hall.Open("memory");
        var pairs = await hall.EnterAsync("all", 3);
        Assert.Equal(new BroadcastResult(0, 3), hall["all"].Broadcast("two\nlines"));
        Assert.Equal(new BroadcastResult(0, 2), await hall["all"].BroadcastAsync("two\nlines", pairs[0].Member));
        Assert.Equal(new BroadcastResult(3, 0), hall["all"].Broadcast("one line"));
        Assert.Equal(["one line"], await HearAsync(pairs[2].Client, 1));
    }

    [Fact]
    public async Task A_session_that_no_server_serves_has_no_groups()
    {
        await using var hall = Hall.Open("memory");
        var (client, _) = await hall.EnterAsync();
        Assert.Throws<InvalidOperationException>(() => client.Groups);
    }

    internal static async Task<List<string>> HearAsync(Session<string> client, int lines)
    {
        var heard = new List<string>();
        while (heard.Count < lines)
            heard.Add(await client.ReceiveAsync(Limits.Soon));
        return heard;
    }
}
