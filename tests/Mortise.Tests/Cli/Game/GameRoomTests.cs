using Mortise.Cli.Serve.Game;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Game;

/// <summary>Rooms, ticks and tokens on a clock that the test moves.</summary>
public sealed class GameRoomTests : IAsyncDisposable
{
    private readonly ManualTime _time = new();
    private readonly GameTable _table;

    public GameRoomTests() => _table = new GameTable(_time);

    [Fact]
    public async Task The_world_is_shown_once_a_tick_and_each_tick_is_one_step()
    {
        var (ada, _) = await _table.JoinAsync("arena", "ada");
        var first = await NextAsync(ada);
        Assert.StartsWith("state 1 coins=", first);
        await ada.SendAsync("up");
        await ada.SendAsync("/rooms"); // the answer shows that the wish is there
        Assert.Equal("rooms: arena=1", await ada.ReceiveAsync(Limits.Soon));
        var (x, y) = At(first);
        var states = new List<string>();
        for (var tick = 2; tick <= 4; tick++)
            states.Add(await NextAsync(ada));
        Assert.Equal(["2", "3", "4"], states.Select(s => s.Split(' ')[1]));
        Assert.All(states, s => Assert.Equal((x, Math.Max(0, y - 1)), At(s)));
    }

    [Fact]
    public async Task Late_ticks_are_left_out_and_not_made_up_for()
    {
        var late = new LateTime();
        await using var table = new GameTable(late);
        var (ada, _) = await table.JoinAsync("arena", "ada");
        foreach (var word in (string[])["right", "right", "left", "left", "left", "/rooms"])
            await ada.SendAsync(word);
        Assert.Equal("rooms: arena=1", await ada.ReceiveAsync(Limits.Soon));
        late.Now = 10.5 * GameRoom.TickPeriod;
        for (var i = 0; i < 10; i++)
            late.Fire(); // ten periods late, and all at once
        late.Now = 11.4 * GameRoom.TickPeriod;
        late.Fire();
        var (first, second) = (await ada.ReceiveAsync(Limits.Soon), await ada.ReceiveAsync(Limits.Soon));
        Assert.Equal(("10", "11"), (first.Split(' ')[1], second.Split(' ')[1]));
        Assert.Equal(1, At(second).X - At(first).X); // a step each
    }

    [Fact]
    public async Task A_token_brings_a_player_back_until_its_time_is_over()
    {
        var (ada, token) = await _table.JoinAsync("arena", "ada");
        var (bob, _) = await _table.JoinAsync("arena", "bob");
        var before = At(await NextAsync(ada));
        ada.Abort();
        await Limits.UntilAsync(() => _table.Connected("arena") == 1, "not away");
        Assert.Equal(2, _table.Hall.Rooms().Single().Players);
        Assert.Contains("ada:", await NextAsync(bob));
        Assert.Contains("~", await NextAsync(bob));
        _time.Advance(GameRoom.AwayMax - TimeSpan.FromSeconds(1));

        var back = await _table.EnterAsync();
        await back.SendAsync("/resume " + token);
        Assert.StartsWith($"joined arena as ada token={token} ", await back.ReceiveAsync(Limits.Soon));
        Assert.Equal(before, At(await NextAsync(back)));
        back.Abort();
        await Limits.UntilAsync(() => _table.Connected("arena") == 1, "not away again");
        _time.Advance(GameRoom.AwayMax + GameRoom.TickPeriod);
        Assert.Equal(1, _table.Hall.Rooms().Single().Players);
        var late = await _table.EnterAsync();
        await late.SendAsync("/resume " + token);
        Assert.Equal("refused: no such token, or its time is over", await late.ReceiveAsync(Limits.Soon));
    }

    [Fact]
    public async Task A_token_takes_the_figure_from_a_connection_that_only_looks_alive()
    {
        var (old, token) = await _table.JoinAsync("arena", "ada");
        var other = await _table.EnterAsync();
        await other.SendAsync("/resume " + token);
        Assert.StartsWith("joined arena as ada", await other.ReceiveAsync(Limits.Soon));
        Assert.Equal("over: another connection resumed with your token", await old.ReceiveAsync(Limits.Soon));
        await Limits.UntilAsync(() => _table.Connections == 1, "the old connection is not closed");
        Assert.Contains("ada:", await NextAsync(other));
        Assert.DoesNotContain("~", await NextAsync(other));
    }

    [Fact]
    public async Task Whoever_leaves_or_ends_is_gone_with_the_token_and_an_empty_room_has_no_timer()
    {
        var (ada, token) = await _table.JoinAsync("arena", "ada");
        await ada.SendAsync("end");
        string line;
        do
            line = await ada.ReceiveAsync(Limits.Soon);
        while (line.StartsWith("state"));
        Assert.Equal("end", line);
        var (bob, _) = await _table.JoinAsync("cave", "bob");
        await bob.SendAsync("/leave");
        Assert.Equal("lobby", await bob.ReceiveAsync(Limits.Soon));
        await bob.SendAsync("left"); // a word as any other now
        Assert.Equal("Server to client!", await bob.ReceiveAsync(Limits.Soon));
        await bob.SendAsync("/resume " + token);
        Assert.StartsWith("refused", await bob.ReceiveAsync(Limits.Soon));
        var timers = _time.Pending;
        _time.Advance(GameRoom.TickPeriod);
        Assert.Empty(_table.Hall.Rooms());
        Assert.Equal(0, _table.Hall.Tokens);
        Assert.Equal(timers - 2, _time.Pending);
    }

    [Fact]
    public async Task Mistakes_are_answered_and_a_name_is_given_once_in_a_room()
    {
        var (ada, _) = await _table.JoinAsync("arena", "ada");
        var bob = await _table.EnterAsync();
        (string Typed, string Answer)[] mistakes =
        [
            ("/join arena", "refused: it is /join ROOM NAME"), ("/join arena ada", "refused: arena is full, or"),
            ("/join a\u001bb x", "refused: a room has letters"), ("/join arena a:b", "refused: a name has letters"),
            ("/leave", "refused: it is /join"), ("/resume 1", "refused: no such token"),
        ];
        foreach (var (typed, answer) in mistakes)
        {
            await bob.SendAsync(typed);
            Assert.StartsWith(answer, await bob.ReceiveAsync(Limits.Soon));
            _time.Advance(TimeSpan.FromMilliseconds(40));
        }

        await ada.SendAsync("sideways");
        string line;
        do
            line = await ada.ReceiveAsync(Limits.Soon);
        while (line.StartsWith("state"));
        Assert.StartsWith("refused: it is up, down", line);
        for (var i = 0; i < 100; i++)
            await bob.SendAsync("/rooms");
        do
            line = await bob.ReceiveAsync(Limits.Soon);
        while (line.StartsWith("rooms"));
        Assert.Equal("refused: slow down", line);
    }

    public ValueTask DisposeAsync() => _table.DisposeAsync();

    /// <summary>One tick, and what it shows.</summary>
    private async Task<string> NextAsync(Session<string> player)
    {
        _time.Advance(GameRoom.TickPeriod);
        string state;
        do
            state = await player.ReceiveAsync(Limits.Soon);
        while (!state.StartsWith($"state {_time.Elapsed / GameRoom.TickPeriod} ", StringComparison.Ordinal));
        return state;
    }

    private static (int X, int Y) At(string state) =>
        state.Split("ada:")[1].Split(':')[0].Split(',') is [var x, var y] ? (int.Parse(x), int.Parse(y)) : default;
}
