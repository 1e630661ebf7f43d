using System.Buffers;
using System.Globalization;
using System.Text;

namespace Mortise.Cli.Serve.Chat;

/// <summary>The chat as lines of text, for nc and telnet: what begins with a slash is a command.</summary>
internal static class ChatLines
{
    /// <summary>Longer lines are answered and not said; far longer ones end the connection.</summary>
    public const int LineBytesMax = 16 * 1024;

    private static readonly string[] HttpMethods =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "PATCH", "PRI"];

    public static Codec<ChatMessage> Codec(Framing framing, Encoding encoding) => Mortise.Codec.Create(framing,
        frame => Parse(TerminalText.Escape(frame.ToArray(), int.MaxValue, encoding)),
        (message, output) => encoding.GetBytes(Render(message), output));

    /// <summary>A line of a person's, escaped already.</summary>
    public static ChatMessage Parse(string line)
    {
        line = line.Trim();
        if (line.Length == 0 || line[0] != '/')
            return new(ChatKinds.Say, Text: line);
        var (command, rest) = Cut(line);
        switch (command.ToLowerInvariant())
        {
            case "/nick" or "/name": return new(ChatKinds.Nick, Name: rest);
            case "/join": return new(ChatKinds.Join, Room: rest);
            case "/leave" or "/part": return new(ChatKinds.Leave);
            case "/who": return new(ChatKinds.Who);
            case "/rooms" or "/list": return new(ChatKinds.Rooms);
            case "/help" or "/?": return new(ChatKinds.Help);
            case "/quit" or "/exit" or "/bye": return new(ChatKinds.Quit);
            case "/msg" or "/tell":
                var (name, text) = Cut(rest);
                return new(ChatKinds.Msg, Name: name, Text: text);
            default: return new(ChatKinds.Unknown, Text: command);
        }
    }

    /// <summary>What a line of a terminal shows. Notices begin with a star, and nobody's text begins a line.</summary>
    public static string Render(ChatMessage m) => m.Kind switch
    {
        ChatKinds.Say => $"[{m.Room}] {m.Name}: {m.Text}",
        ChatKinds.Msg => $"[{m.Name} to you] {m.Text}",
        ChatKinds.Welcome => $"* welcome, {m.Name}: you are in {m.Room} ({Here(m.Count)}); {m.Text}",
        ChatKinds.Joined => $"* {m.Name} joined {m.Room} ({Here(m.Count)})",
        ChatKinds.Left => $"* {m.Name} left {m.Room} ({Here(m.Count)})",
        ChatKinds.Renamed => $"* {m.Name} is now {m.Text}",
        ChatKinds.Here => $"* in {m.Room}: {List(m)}",
        ChatKinds.Rooms => $"* rooms: {List(m)}",
        ChatKinds.History => $"* the last {(m.Count == 1 ? "line" : $"{m.Count} lines")} said in {m.Room}:",
        ChatKinds.Missed => $"* you read too slowly and missed {Number(m.Count)} message{(m.Count == 1 ? "" : "s")}",
        _ => "* " + m.Text,
    };

    /// <summary>The first line of an HTTP request: a browser, or curl.</summary>
    public static bool IsHttp(string line) => line.Split(' ') is [var method, _, var version]
        && version.StartsWith("HTTP/", StringComparison.Ordinal) && HttpMethods.Contains(method);

    private static (string First, string Others) Cut(string text) => text.IndexOf(' ') is var at and >= 0
        ? (text[..at], text[(at + 1)..].TrimStart()) : (text, "");

    private static string Here(long? count) => $"{Number(count)} here";

    private static string Number(long? count) => (count ?? 0).ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>Of many, the first are shown.</summary>
    private static string List(ChatMessage m) => string.Join(", ", m.Names ?? [])
        + (m.Count - (m.Names?.Count ?? 0) is > 0 and var more ? $" and {Number(more)} more" : "");
}
