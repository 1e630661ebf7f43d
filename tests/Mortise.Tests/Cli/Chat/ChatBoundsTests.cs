using Mortise.Cli.Serve.Chat;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>Rooms and histories come from peers' words, and have bounds.</summary>
public sealed class ChatBoundsTests : IAsyncDisposable
{
    private const int RoomsMax = 1000;

    private static readonly Codec<ChatMessage> Json =
        Codec.LengthPrefixed(64 * 1024).Json(ChatJson.Default.ChatMessage);

    private readonly MemoryNetwork _network = new();
    private readonly ChatHall _hall = new(new(HistoryLines: 1000, LinesPerSecond: 1e6, WaitsForSlow: false));
    private readonly SocketServer _server;

    public ChatBoundsTests() => _server = SocketServer.Start("mem:chat",
        c => ChatGuest.ServeAsync(_hall, c, Json, null), o => o.Transport.Memory = _network);

    [Fact]
    public async Task The_room_that_was_left_longest_ago_gives_way_with_its_history()
    {
        await using var ada = await EnterAsync();
        for (var i = 0; i < RoomsMax + 10; i++)
        {
            await JoinAsync(ada, $"r{i}");
            await ada.SendAsync(new("say", Text: $"said in r{i}"));
        }

        Assert.InRange(_hall.Rooms().Count, RoomsMax - 1, RoomsMax);
        await using var bob = await EnterAsync();
        Assert.Equal(0, await JoinAsync(bob, "r0"));
        Assert.Equal(1, await JoinAsync(bob, $"r{RoomsMax}"));
    }

    [Fact]
    public async Task A_room_where_nothing_was_said_is_gone_with_its_last_member()
    {
        await using var ada = await EnterAsync();
        await JoinAsync(ada, "quiet");
        await JoinAsync(ada, "other");
        Assert.DoesNotContain(_hall.Rooms(), r => r.Name == "quiet");
    }

    [Fact]
    public async Task When_people_are_in_all_rooms_one_more_is_refused_and_says_so()
    {
        await using var ada = await EnterAsync(); // in the lobby
        var others = new List<Session<ChatMessage>>();
        for (var i = 1; i < RoomsMax; i++)
        {
            others.Add(await EnterAsync());
            await JoinAsync(others[^1], $"r{i}");
        }

        await ada.SendAsync(new("join", Room: "more"));
        ChatMessage answer;
        do
            answer = await ada.ReceiveAsync(Limits.Soon);
        while (answer.Kind is "joined" or "left");
        Assert.Equal("there are too many rooms; /rooms lists them", answer.Text);
        others.ForEach(o => o.Abort());
        await Limits.UntilAsync(() => _server.Statistics.Current == 1, "they have not left");
        Assert.Equal(0, await JoinAsync(ada, "more"));
    }

    [Fact]
    public async Task A_history_has_a_bound_in_bytes_too_and_keeps_the_newest()
    {
        await using var ada = await EnterAsync();
        for (var i = 0; i < 100; i++)
            await ada.SendAsync(new("say", Text: $"{i} {new string('x', 4000)}"));
        await ada.SendAsync(new("who"));
        while ((await ada.ReceiveAsync(Limits.Soon)).Kind != "here")
        {
        }

        await using var bob = await SocketClient.ConnectAsync("mem:chat", Json, o => o.Transport.Memory = _network);
        Assert.Equal("welcome", (await bob.ReceiveAsync(Limits.Soon)).Kind);
        var lines = (await bob.ReceiveAsync(Limits.Soon)).Count!.Value;
        Assert.InRange(lines, 2, 64 * 1024 / 8000);
        for (var i = 100 - lines; i < 100; i++)
            Assert.StartsWith($"{i} x", (await bob.ReceiveAsync(Limits.Soon)).Text);
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task<Session<ChatMessage>> EnterAsync()
    {
        var guest = await SocketClient.ConnectAsync("mem:chat", Json, o => o.Transport.Memory = _network);
        while ((await guest.ReceiveAsync(Limits.Soon)).Kind != "welcome")
        {
        }

        return guest;
    }

    /// <summary>How many lines of history were shown.</summary>
    private static async Task<long> JoinAsync(Session<ChatMessage> guest, string room)
    {
        await guest.SendAsync(new("join", Room: room));
        ChatMessage heard;
        do
            heard = await guest.ReceiveAsync(Limits.Soon);
        while (heard is not { Kind: "joined", Name: "you" });
        await guest.SendAsync(new("who"));
        var lines = 0L;
        while ((heard = await guest.ReceiveAsync(Limits.Soon)).Kind != "here")
            lines += heard.Kind == "history" ? heard.Count!.Value : 0;
        return lines;
    }
}
