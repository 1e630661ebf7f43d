using System.Text.RegularExpressions;
using Mortise.Tests.Conformance;
using Mortise.Tests.Samples;
using Xunit;

namespace Mortise.Tests.Cli.Game;

/// <summary>`serve game` as a process: the lobby's dialogue, and rooms beside it.</summary>
public sealed class ServeGameTests
{
    private static readonly Page Doc = new("docs", "game.md");

    [Fact]
    public async Task A_hundred_players_in_four_rooms_are_shown_their_own_room()
    {
        var (server, at) = await MortiseProcess.ServeAsync("game", ":0");
        await using var _ = server;
        var players = await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            var player = await SocketClient.ConnectAsync(at, Codec.Lines());
            await player.SendAsync($"/join room{i % 4} p{i}");
            return player;
        }));
        var shown = 0;
        await Task.WhenAll(players.Select(async (player, i) =>
        {
            var state = await StateAsync(player, s => s.Split(';').Length >= 24 + 7);
            var names = state.Split("players=")[1].Split(';').Select(p => int.Parse(p[1..p.IndexOf(':')])).ToList();
            Assert.Contains(i, names);
            Assert.All(names, n => Assert.Equal(i % 4, n % 4));
            Interlocked.Increment(ref shown);
        }));
        foreach (var player in players)
            await player.DisposeAsync();
        Row.Observed("L09", $"{shown} players at once in 4 rooms: each is shown its room of 25, 20 times a second");
    }

    [Fact]
    public async Task A_player_whose_connection_breaks_comes_back_to_where_it_was()
    {
        var (server, at) = await MortiseProcess.ServeAsync("game", ":0");
        await using var _ = server;
        await using var other = await SocketClient.ConnectAsync(at, Codec.Lines());
        await other.SendAsync("/join arena bob");
        var ada = await SocketClient.ConnectAsync(at, Codec.Lines());
        await ada.SendAsync("/join arena ada");
        string joined;
        do
            joined = await ada.ReceiveAsync(Limits.Soon);
        while (!joined.StartsWith("joined"));
        var (place, tick) = Of(await StateAsync(ada, s => s.Contains("ada:")));
        ada.Abort();
        await StateAsync(other, s => s.Contains("~"));
        await using var back = await SocketClient.ConnectAsync(at, Codec.Lines());
        await back.SendAsync("/resume " + joined.Split("token=")[1][..32]);
        var (again, later) = Of(await StateAsync(back, s => s.Contains("ada:") && !s.Contains('~')));
        Assert.Equal(place, again);
        Assert.True(later > tick);
        await back.SendAsync("end");
        await StateAsync(other, s => !s.Contains("ada:"));

        static (string Place, long Tick) Of(string state) =>
            (state.Split("ada:")[1].Split(';', '~')[0], long.Parse(state.Split(' ')[1]));
    }

    [Fact]
    public async Task The_documents_dialogue_is_as_printed()
    {
        var (server, at) = await MortiseProcess.ServeAsync("game", ":0");
        await using var _ = server;
        var printed = Doc.Blocks("console").Single(b => b.StartsWith("$ nc", StringComparison.Ordinal)).Split('\n',
            StringSplitOptions.RemoveEmptyEntries)[1..];
        await using var nc = MortiseProcess.Shell($"exec nc {at.Host} {at.Port}");
        foreach (var line in printed)
        {
            if (line is ['>', ..])
            {
                await nc.Input.WriteAsync(line[2..] + "\n");
                await nc.Input.FlushAsync();
            }
            else
            {
                var pattern = Regex.Replace(Regex.Escape(line), @"(?<=^state\\ )\d+|(?<=token=)[0-9a-f]{32}",
                    "[0-9a-f]+");
                await nc.OutputAsync($"^{pattern}$");
            }
        }

        nc.Input.Close();
        Assert.Equal(0, await nc.ExitAsync());
        Assert.Equal(printed.Count(l => l is not ['>', ..] && !l.StartsWith("state")),
            nc.OutputLines.Count(l => !l.StartsWith("state")));
    }

    private static async Task<string> StateAsync(Session<string> player, Func<string, bool> isWanted)
    {
        string state;
        do
            state = await player.ReceiveAsync(Limits.Soon);
        while (!state.StartsWith("state", StringComparison.Ordinal) || !isWanted(state));
        return state;
    }
}
