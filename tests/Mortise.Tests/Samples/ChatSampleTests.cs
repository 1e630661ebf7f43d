using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>samples/chat.cs with three people, and samples/arena.cs with two.</summary>
public sealed class ChatSampleTests
{
    [Fact]
    public async Task A_line_reaches_everybody_else_in_its_room_with_its_speakers_name()
    {
        var (server, at) = await Sample.ServeAsync("chat");
        await using var _ = server;
        await using var ada = await EnterAsync(at, "ada");
        await using var bob = await EnterAsync(at, "bob");
        await ada.SendAsync("hel\u001b[2Jlo");
        await HearAsync(bob, "ada: hel[2Jlo");
        await ada.SendAsync("/who");
        await HearAsync(ada, "* 2 here");
        await using var cy = await EnterAsync(at, "cy");
        await cy.SendAsync("/join kitchen");
        await HearAsync(bob, "* cy left");
        await HearAsync(cy, "* cy is here");
        await cy.SendAsync("/join lobby");
        await HearAsync(ada, "* cy is here");
        await HearAsync(bob, "* cy is here");
        await bob.SendAsync("/quit");
        await HearAsync(cy, "* bob left");
        await cy.SendAsync("/join " + new string('x', 129));
        await HearAsync(cy, "* a name has at most 128 bytes of UTF-8");
        Assert.InRange(File.ReadLines(Path.Combine(Sample.Folder, "chat.cs")).Count(), 1, 60);
    }

    [Fact]
    public async Task The_arena_is_shown_many_times_a_second_and_a_token_brings_back()
    {
        var (server, at) = await Sample.ServeAsync("arena");
        await using var _ = server;
        var ada = await Sample.ConnectAsync(at, Codec.Lines());
        var token = await ada.ReceiveAsync(Limits.Soon);
        Assert.Matches("^token [0-9a-f]{32}$", token);
        for (var moved = 0; moved < 3; moved++)
        {
            await ada.SendAsync("left");
            await UntilAsync(ada, s => s.Contains($" {19 - moved}"));
        }

        await using var bob = await Sample.ConnectAsync(at, Codec.Lines());
        ada.Abort();
        await using var back = await Sample.ConnectAsync(at, Codec.Lines());
        await back.SendAsync(token.Replace("token", "/resume"));
        await back.SendAsync("right");
        await UntilAsync(bob, s => s.Contains(" 18") && !s.Contains(" 17"));
    }

    private static async Task<Session<string>> EnterAsync(Endpoint at, string name)
    {
        var session = await Sample.ConnectAsync(at, Codec.Lines());
        Assert.Matches(@"^\* guest\d+ is here$", await session.ReceiveAsync(Limits.Soon)); // it has said nothing
        await session.SendAsync("/name " + name);
        await session.SendAsync("/who");
        await UntilAsync(session, l => l.EndsWith(" here"));
        return session;
    }

    /// <summary>What others come and go for is passed over.</summary>
    private static Task HearAsync(Session<string> session, string line) => UntilAsync(session, l => l == line);

    private static async Task UntilAsync(Session<string> session, Func<string, bool> isIt)
    {
        while (!isIt(await session.ReceiveAsync(Limits.Soon)))
        {
        }
    }
}
