using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>samples/chat.cs, with three people.</summary>
public sealed class ChatSampleTests
{
    [Fact]
    public async Task A_line_reaches_everybody_else_in_its_room_with_its_speakers_name()
    {
        var (server, at) = await Sample.ServeAsync("chat");
        await using var _ = server;
        await using var ada = await EnterAsync(at, "ada", "lobby");
        await using var bob = await EnterAsync(at, "bob", "lobby");
        Assert.Equal("* bob is here", await ada.ReceiveAsync(Limits.Soon));
        await using var cy = await EnterAsync(at, "cy", "kitchen");
        await ada.SendAsync("hello");
        Assert.Equal("ada: hello", await bob.ReceiveAsync(Limits.Soon));
        await ada.SendAsync("/who");
        Assert.Equal("* 2 here", await ada.ReceiveAsync(Limits.Soon));
        await cy.SendAsync("/join lobby");
        foreach (var other in new[] { ada, bob, cy })
            Assert.Equal("* cy is here", await other.ReceiveAsync(Limits.Soon));
        await bob.SendAsync("/quit");
        await cy.SendAsync("/join " + new string('x', 129));
        Assert.Equal(["* a name has at most 128 bytes of UTF-8", "* bob left"],
            new[] { await cy.ReceiveAsync(Limits.Soon), await cy.ReceiveAsync(Limits.Soon) }.Order());
        Assert.Equal("* bob left", await ada.ReceiveAsync(Limits.Soon));
        Assert.InRange(File.ReadLines(Path.Combine(Sample.Folder, "chat.cs")).Count(), 1, 60);
    }

    private static async Task<Session<string>> EnterAsync(Endpoint at, string name, string room)
    {
        var session = await Sample.ConnectAsync(at, Codec.Lines());
        await session.SendAsync("too early");
        Assert.Equal("* first: /join ROOM", await session.ReceiveAsync(Limits.Soon));
        await session.SendAsync("/name " + name);
        await session.SendAsync("/join " + room);
        Assert.Equal($"* {name} is here", await session.ReceiveAsync(Limits.Soon));
        return session;
    }
}
