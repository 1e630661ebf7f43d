using System.Globalization;

namespace Mortise.Tests.Cli.Chat;

/// <summary>Somebody in the chat with nc, as people are: what comes is lines on a screen.</summary>
internal sealed class Terminal : IAsyncDisposable
{
    private readonly MortiseProcess _nc;
    private int _seen;

    private Terminal(MortiseProcess nc) => _nc = nc;

    public MortiseProcess Nc => _nc;

    /// <summary>Comes in, and waits for the welcome.</summary>
    public static async Task<Terminal> EnterAsync(Endpoint chat, string? name = null)
    {
        var terminal = new Terminal(MortiseProcess.Shell(string.Create(CultureInfo.InvariantCulture,
            $"exec nc {chat.Host} {chat.Port}")));
        await terminal.SeesAsync(@"^\* welcome, guest\d+: you are in lobby");
        if (name is null)
            return terminal;
        await terminal.TypeAsync("/nick " + name);
        await terminal.SeesAsync(@"^\* guest\d+ is now " + name);
        return terminal;
    }

    public async Task TypeAsync(string line)
    {
        await _nc.Input.WriteAsync(line + "\n");
        await _nc.Input.FlushAsync();
    }

    /// <summary>The next line that matches, after the last that was waited for.</summary>
    public async Task<string> SeesAsync(string pattern)
    {
        while (true)
        {
            // Lines are kept: whatever has come meanwhile is there.
            var lines = _nc.OutputLines;
            for (; _seen < lines.Count; _seen++)
                if (System.Text.RegularExpressions.Regex.IsMatch(lines[_seen], pattern))
                    return lines[_seen++];
            await _nc.NextOutputAsync(_seen, $"no line matches {pattern}");
        }
    }

    public ValueTask DisposeAsync() => _nc.DisposeAsync();
}
