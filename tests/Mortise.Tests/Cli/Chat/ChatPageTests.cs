using System.Text.RegularExpressions;
using Mortise.Tests.Samples;
using Xunit;

namespace Mortise.Tests.Cli.Chat;

/// <summary>docs/chat.md: what its terminals show is what they show.</summary>
public sealed partial class ChatPageTests
{
    private static readonly Page Chat = new("docs", "chat.md");

    [Fact]
    public async Task Its_terminal_shows_what_a_terminal_shows()
    {
        var (server, at) = await MortiseProcess.ServeAsync("chat", ":0");
        await using var _ = server;
        var printed = Chat.Blocks("console").Single(b => b.StartsWith("$ nc", StringComparison.Ordinal)).Split('\n',
            StringSplitOptions.RemoveEmptyEntries)[1..];
        await using var ada = await Terminal.EnterAsync(at);
        Terminal? bob = null;
        foreach (var line in printed[1..])
        {
            if (line.StartsWith('/'))
                await ada.TypeAsync(line);
            else if (line.Contains("guest2 joined"))
                bob = await Terminal.EnterAsync(at, "bob");
            else if (line.Contains("good morning"))
                await bob!.TypeAsync("good morning");
            if (!line.StartsWith('/'))
                await ada.SeesAsync($"^{Regex.Escape(line)}$");
        }

        await bob!.SeesAsync(@"^\[ada to you\] psst$");
        await bob.DisposeAsync();
        Assert.Equal(printed.Where(l => !l.StartsWith('/')), ada.Nc.OutputLines.Take(printed.Length));
    }

    [Fact]
    public async Task Its_program_is_welcomed_as_printed()
    {
        await using var server = MortiseProcess.Start("serve", "chat", ":0", "--json-at", ":0", "--json");
        var at = (await server.EventAsync("listening", 1)).GetProperty("endpoint").GetString()!;
        var printed = Chat.Blocks("console").Single(b => b.Contains("\"welcome\"")).Split('\n');
        var sent = SentText().Match(printed[1]).Groups[1].Value;
        var run = await MortiseProcess.RunAsync(["connect", at, "--frame", "len:4", "--send", sent]);
        Assert.Equal(printed[2], run.Output.Split('\n')[0]);
    }

    [Fact]
    public async Task Its_code_compiles()
    {
        await using var run = await Sample.StartFileAsync(await Chat.WriteProgramAsync("chats"), "none", ":1");
        Assert.Equal(0, await run.ExitAsync());
    }

    [GeneratedRegex("--send '(.*)'")]
    private static partial Regex SentText();
}
