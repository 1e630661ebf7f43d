using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>The tutorials' own programs: the game server, and the order of calls one to one.</summary>
public sealed class TutorialTests
{
    private const int CallOrderLinesMax = 40;
    private const int Players = 100;

    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromMinutes(2)).Token;

    [Fact]
    public async Task Game_answers_each_word_and_returns_the_end_flag_and_waits_for_the_next_player()
    {
        var (server, at) = await Sample.ServeAsync("game");
        await using var _ = server;
        // Without -N, and with more patience than the test has: only the server's close ends nc.
        var talk = $"printf 'left\\nright\\nend\\n' | nc -w 60 {at.Host} {at.Port}";
        var first = await MortiseProcess.RunShellAsync(talk);
        Assert.Equal("Server to client!\nServer to client!\nend", first.Output);
        await server.OutputAsync(@"^\(127\.0\.0\.1:\d+\) right$");
        var second = await MortiseProcess.RunShellAsync(talk);
        Assert.Equal(first.Output, second.Output);
        Assert.False(server.Process.HasExited);
        Row.Observed("L06", $"samples/game.cs: left, right, end got '{first.Output}'; the next player got the same; "
            + $"it logged {server.OutputLines[0]}");
    }

    [Fact]
    public async Task Game_serves_a_hundred_players_at_once_each_with_its_own_replies()
    {
        var (server, at) = await Sample.ServeAsync("game");
        await using var _ = server;
        var players = new List<Session<string>>();
        for (var i = 0; i < Players; i++)
            players.Add(await Sample.ConnectAsync(at, Codec.Lines()));

        // Everybody is connected before anybody talks, and the last one first: nobody waits for another.
        var replies = await Task.WhenAll(players.Select((p, i) => PlayAsync(p, words: i % 7)).Reverse())
            .WaitAsync(MortiseProcess.Patience);
        Assert.Equal(Enumerable.Range(0, Players).Reverse().Select(i => i % 7), replies);
        Row.Observed("L09", $"samples/game.cs: {Players} players connected at once; each got as many replies as it had "
            + $"words, {replies.Sum()} in all, and its own end");
    }

    [Fact]
    public async Task The_order_of_calls_prints_what_the_tutorials_print()
    {
        Assert.All(["call-order-server", "call-order-client"],
            name => Assert.InRange(Sample.TextOf(name).TrimEnd().Split('\n').Length, 1, CallOrderLinesMax));
        var (server, at) = await Sample.ServeAsync("call-order-server");
        await using var _ = server;
        for (var visit = 1; visit <= 2; visit++)
        {
            await using var client = await Sample.StartAsync("call-order-client", at.ToString());
            Assert.Equal(0, await client.ExitAsync());
            Assert.Equal([.. Enumerable.Range(1, 3).Select(n => $"server say: hi, I am client...{n}")],
                client.OutputLines);
        }

        await server.OutputAsync(@"^Listening\.\.\. on tcp://127\.[\d.]+:\d+, backlog \d+$");
        await server.OutputAsync(@"^new client 127\.0\.0\.1:\d+$");
        await server.OutputAsync(@"^client says: hi, I am client\.\.\.3$");
        await server.OutputAsync(@"^client is disconnect\.\.$");
        Row.Observed("L15", $"two clients in turn, ≤ {CallOrderLinesMax} lines a program: "
            + string.Join(" | ", server.OutputLines.Take(4)));
    }

    private async Task<int> PlayAsync(Session<string> player, int words)
    {
        await using var _ = player;
        for (var i = 0; i < words; i++)
            await player.SendAsync($"word {i}", _patience);
        await player.SendAsync("end", _patience);
        var replies = new List<string>();
        await foreach (var reply in player.Messages)
            replies.Add(reply);
        Assert.Equal("end", replies[^1]);
        Assert.All(replies[..^1], r => Assert.Equal("Server to client!", r));
        return replies.Count - 1;
    }
}
