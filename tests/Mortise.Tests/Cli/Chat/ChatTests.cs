using Mortise.Cli.Serve.Chat;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>`serve chat` with nc, with telnet's line ends, and with programs that speak JSON.</summary>
public sealed class ChatTests
{
    private static readonly Codec<ChatMessage> Json =
        Codec.LengthPrefixed(64 * 1024).Json(ChatJson.Default.ChatMessage);

    [Fact]
    public async Task A_line_reaches_the_other_terminals_with_its_speakers_name()
    {
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0");
        await using var _ = server;
        await using var ada = await Terminal.EnterAsync(at, "ada");
        await using var bob = await Terminal.EnterAsync(at, "bob");
        await using var cy = await Terminal.EnterAsync(at, "cy");
        await ada.SeesAsync(@"^\* guest2 joined lobby \(2 here\)$");
        await ada.SeesAsync(@"^\* guest3 is now cy$");
        await ada.TypeAsync("hello");
        var heard = await bob.SeesAsync("hello");
        Assert.Equal("[lobby] ada: hello", heard);
        Assert.Equal(heard, await cy.SeesAsync("hello"));

        await cy.TypeAsync("/quit");
        await cy.SeesAsync(@"^\* goodbye$");
        await ada.SeesAsync(@"^\* cy left lobby \(2 here\)$");
        bob.Nc.Signal("INT");
        await ada.SeesAsync(@"^\* bob left lobby \(1 here\)$");
        Assert.DoesNotContain("[lobby] ada: hello", ada.Nc.Output);
        Row.Observed("L12", $"nc, 3 terminals: '{heard}' at the two others, not at its speaker; joined and left are "
            + "told; a stopped reader: SlowChatTests");

        server.Signal("TERM");
        await ada.SeesAsync(@"^\* the server stops: goodbye$");
        Assert.Equal(0, await server.ExitAsync());
    }

    [Fact]
    public async Task Rooms_have_their_own_talk_and_a_history_for_who_comes_later()
    {
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0", "--history", "2");
        await using var _ = server;
        await using var ada = await Terminal.EnterAsync(at, "ada");
        await using var bob = await Terminal.EnterAsync(at, "bob");
        await ada.TypeAsync("/join Kitchen\none\ntwo\nthree\n/rooms");
        await ada.SeesAsync(@"^\* you joined kitchen \(1 here\)$");
        await ada.SeesAsync(@"^\* rooms: kitchen \(1\), lobby \(1\)$");
        await bob.SeesAsync(@"^\* ada left lobby \(1 here\)$");
        await bob.TypeAsync("/join kitchen");
        await bob.SeesAsync(@"^\* you joined kitchen \(2 here\)$");
        await bob.SeesAsync(@"^\* the last 2 lines said in kitchen:$");
        Assert.Equal("[kitchen] ada: two", await bob.SeesAsync("."));
        Assert.Equal("[kitchen] ada: three", await bob.SeesAsync("."));
        await ada.SeesAsync(@"^\* bob joined kitchen \(2 here\)$");
        await bob.TypeAsync("/who\n/leave\n/leave");
        await bob.SeesAsync(@"^\* in kitchen: ada, bob$");
        await bob.SeesAsync(@"^\* you joined lobby \(1 here\)$");
        await bob.SeesAsync("you are in the lobby: /quit leaves");
        Assert.DoesNotContain("kitchen] ada: one", bob.Nc.Output);
    }

    [Fact]
    public async Task Mistakes_are_answered_with_what_to_do()
    {
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0", "--flood", "100");
        await using var _ = server;
        await using var ada = await Terminal.EnterAsync(at, "ada");
        await using var bob = await Terminal.EnterAsync(at, "bob");
        (string Typed, string Answer)[] mistakes =
        [
            ("/nick", @"^\* which name\? it is /nick NAME$"),
            ("/nick ADA", @"^\* ADA is taken$"),
            ("/nick a\u001b[31mb", @"^\* a name has letters, digits and - _ \."),
            ("/nick -x", @"^\* a name has letters"),
            ("/nick " + new string('x', 25), @"^\* a name has at most 24 characters$"),
            ("/join", @"^\* which room\? it is /join ROOM$"),
            ("/join lobby", @"^\* you are in lobby$"),
            ("/msg ada", @"^\* it is /msg NAME TEXT$"),
            ("/msg nobody hi", @"^\* nobody is called nobody; /who tells who is here$"),
            ("/frob", @"^\* there is no command /frob; /nick NAME, /join ROOM"),
            (new string('x', 5000), @"^\* too long: 5,000 bytes, at most 4,096; nothing was said$"),
        ];
        foreach (var (typed, answer) in mistakes)
        {
            await bob.TypeAsync(typed);
            await bob.SeesAsync(answer);
        }

        await bob.TypeAsync("/msg ADA psst\r");
        Assert.Equal("[bob to you] psst", await ada.SeesAsync("psst"));
        await bob.TypeAsync("\u001b]0;owned\u0007 \u202etxt.exe\r\nreal line\r");
        Assert.Equal(@"[lobby] bob: \x1B]0;owned\x07 \u{202E}txt.exe", await ada.SeesAsync("owned"));
        Assert.Equal("[lobby] bob: real line", await ada.SeesAsync("."));
        await bob.TypeAsync(new string('x', 20_000));
        await bob.SeesAsync(@"^\* goodbye: a message has at most 16,384 bytes$");
        await ada.SeesAsync(@"^\* bob left lobby \(1 here\)$");

        var browser = await MortiseProcess.RunShellAsync(
            $"printf 'GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' | timeout 10 nc {at.Host} {at.Port}");
        Assert.Contains("* this is a chat, not a web server: come with nc or telnet", browser.Output);
        Assert.DoesNotContain("GET", ada.Nc.Output);
        var cut = await MortiseProcess.RunShellAsync($"printf 'half a li' | timeout 10 nc -N {at.Host} {at.Port}");
        Assert.EndsWith("* goodbye: your last message had no end, and was not said", cut.Output);
        Assert.DoesNotContain("half", ada.Nc.Output);
    }

    [Fact]
    public async Task Programs_speak_JSON_with_people_in_the_same_rooms()
    {
        await using var server = MortiseProcess.Start("serve", "chat", ":0", "--json-at", ":0", "--json");
        var at = Endpoint.Parse((await server.EventAsync("listening")).GetProperty("endpoint").GetString()!);
        var second = await server.EventAsync("listening", skip: 1);
        Assert.Equal("len:4,max=65536", second.GetProperty("frame").GetString());
        await using var ada = await Terminal.EnterAsync(at, "ada");
        await using var bot = await SocketClient.ConnectAsync(
            Endpoint.Parse(second.GetProperty("endpoint").GetString()!), Json);
        var welcome = await bot.ReceiveAsync(Limits.Soon);
        Assert.Equal(new ChatMessage("welcome", "lobby", "guest2", welcome.Text, Count: 2), welcome);
        await bot.SendAsync(new("nick", Name: "bot"));
        Assert.Equal(new ChatMessage("renamed", "lobby", "guest2", "bot"), await bot.ReceiveAsync(Limits.Soon));
        await bot.SendAsync(new("say", Text: "beep\n\u001b[2J[lobby] ada: I lie"));
        Assert.Equal(@"[lobby] bot: beep\n\x1B[2J[lobby] ada: I lie", await ada.SeesAsync("beep"));
        await ada.TypeAsync("hello bot");
        Assert.Equal(new ChatMessage("say", "lobby", "ada", "hello bot"), await bot.ReceiveAsync(Limits.Soon));
        await bot.SendAsync(new("who"));
        var who = await bot.ReceiveAsync(Limits.Soon);
        Assert.Equal(["ada", "bot"], who.Names!);
        await bot.SendAsync(new("dance"));
        Assert.Equal("refused", (await bot.ReceiveAsync(Limits.Soon)).Kind);
        await bot.SendAsync(new("msg", Name: "ada", Text: "psst"));
        Assert.Equal("[bot to you] psst", await ada.SeesAsync("psst"));
    }

    [Theory]
    [InlineData("--flood", "0", "above 0 and up to 1000000")]
    [InlineData("--flood", "x", "Cannot parse argument 'x' for option '--flood' as a number")]
    [InlineData("--history", "-1", "write 0 to 1000")]
    [InlineData("--frame", "raw", "a chat needs to know where a line ends")]
    public async Task A_flag_that_makes_no_sense_is_refused_with_what_would(string flag, string value, string hint)
    {
        var run = await MortiseProcess.RunAsync(["serve", "chat", ":0", flag, value]);
        Assert.Equal(2, run.ExitCode);
        Assert.Contains(hint, run.Error);
    }

    [Fact]
    public async Task A_flood_is_not_said_and_who_goes_on_is_sent_away()
    {
        await using var server = MortiseProcess.Start("serve", "chat", ":0", "--flood", "1", "--json");
        var at = Endpoint.Parse((await server.EventAsync("listening")).GetProperty("endpoint").GetString()!);
        await using var ada = await Terminal.EnterAsync(at, "ada");
        await using var bob = await Terminal.EnterAsync(at);
        await bob.TypeAsync(string.Join('\n', Enumerable.Range(0, 60).Select(i => $"spam {i}")));
        await bob.SeesAsync(@"^\* slow down: at most 1 lines a second");
        await bob.SeesAsync("line after line without a pause");
        await ada.SeesAsync("guest2 left");
        Assert.InRange(ada.Nc.OutputLines.Count(l => l.Contains("spam")), 4, 8);
        Assert.Equal("rate_limit", (await server.EventAsync("closed")).GetProperty("reason").GetString());
    }

    [Fact]
    public async Task Two_cannot_have_one_name_however_many_want_it_at_once()
    {
        await using var server = MortiseProcess.Start("serve", "chat", ":0", "--json-at", ":0", "--json");
        var at = Endpoint.Parse((await server.EventAsync("listening", 1)).GetProperty("endpoint").GetString()!);
        var (won, lost) = (0, 0);
        await Task.WhenAll(Enumerable.Range(0, 30).Select(async i =>
        {
            await using var guest = await SocketClient.ConnectAsync(at, Json);
            var me = (await guest.ReceiveAsync(Limits.Soon)).Name;
            await guest.SendAsync(new("nick", Name: i % 2 == 0 ? "Ада" : "аДА"));
            ChatMessage answer;
            do
                answer = await guest.ReceiveAsync(Limits.Soon);
            while (answer.Kind != "refused" && !(answer.Kind == "renamed" && answer.Name == me));
            // Whoever has it keeps it until all others have asked.
            _ = answer.Kind == "renamed" ? Interlocked.Increment(ref won) : Interlocked.Increment(ref lost);
            await Limits.UntilAsync(() => Volatile.Read(ref won) + Volatile.Read(ref lost) == 30, "not all have asked");
        }));
        Assert.Equal(1, won);
    }
}
