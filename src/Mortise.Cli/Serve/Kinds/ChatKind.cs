using System.CommandLine;
using System.Text;
using Mortise.Cli.Serve.Chat;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>Rooms for people with nc, and for programs with JSON.</summary>
internal sealed class ChatKind() : Kind("chat", "tcp://127.0.0.1:9000",
    "A chat with rooms and names for nc and telnet; programs speak JSON at --json-at")
{
    private const int JsonBytesMax = 64 * 1024;

    private readonly Option<string?> _jsonAt = new("--json-at")
    {
        Description = "listen here too, for programs: each message a 4-byte length and JSON",
        HelpName = "ENDPOINT",
    };

    private readonly Option<int> _history = new("--history")
    {
        Description = "lines of each room that are kept and shown to who joins",
        HelpName = "N",
        DefaultValueFactory = _ => 20,
    };

    private readonly Option<double> _flood = new("--flood")
    {
        Description = "lines a second from one client; four seconds' worth may come at once, more is not said",
        HelpName = "N",
        DefaultValueFactory = _ => 5,
    };

    private ChatHall? _hall;

    public override string DefaultFrame => $"line,max={ChatLines.LineBytesMax}";

    public override IEnumerable<Option> Options => [_jsonAt, _history, _flood];

    public override string TryWith(Endpoint endpoint, Framing? framing) =>
        framing?.ToString().StartsWith("len:4", StringComparison.Ordinal) == true
            ? $$"""mortise connect {{endpoint}} --frame len:4 --send '{"kind":"say","text":"hello"}' --no-half-close"""
        : endpoint.Kind == EndpointKind.Tcp
        ? $"nc {(endpoint.IsWildcard ? "127.0.0.1" : endpoint.Host)} {endpoint.Port}    or: mortise connect "
            + $"{(endpoint.Host == "127.0.0.1" ? $":{endpoint.Port}" : endpoint)}"
        : $"mortise connect {endpoint}";

    /// <summary>People are silent for long, type slowly, and stop their terminals; those who miss lines are told.
    /// </summary>
    public override void Configure(ServerOptions options)
    {
        options.IdleTimeout = TimeSpan.FromHours(1);
        options.FrameTimeout = TimeSpan.FromMinutes(2);
        options.FrameBytesPerSecondMin = 0;
        options.WriteStallTimeout = TimeSpan.FromMinutes(1);
        options.SlowReaders = SlowReaders.DropOldest;
    }

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        var framing = settings.Framing ?? throw new InvalidSettingException("serve", "chat --frame raw",
            "a chat needs to know where a line ends", "leave --frame out, or write --frame line");
        var codec = ChatLines.Codec(framing, settings.Encoding);
        var told = Told(log);
        var hall = HallOf(parsed, settings);
        return c => ChatGuest.ServeAsync(hall, c, codec, told);
    }

    public override IEnumerable<(Endpoint At, Framing Framing, Func<Connection, Task> Handler)> More(
        ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        if (parsed.GetValue(_jsonAt) is not { } at)
            yield break;
        var framing = Framing.Parse("len:4").WithMax(JsonBytesMax);
        var codec = framing.Json(ChatJson.Default.ChatMessage);
        var told = Told(log);
        var hall = HallOf(parsed, settings);
        yield return (Endpoint.Parse(at), framing, c => ChatGuest.ServeAsync(hall, c, codec, told));
    }

    private static Action<Connection, ChatMessage>? Told(ServeLog log) => !log.WantsMessages ? null
        : (c, m) => log.Received(c, Encoding.UTF8.GetBytes(
            string.Join(' ', ((string?[])[m.Kind, m.Room, m.Name, m.Text]).Where(t => t is not null))));

    private ChatHall HallOf(ParseResult parsed, ServeSettings settings)
    {
        if (_hall is not null)
            return _hall;
        var (history, flood) = (parsed.GetValue(_history), parsed.GetValue(_flood));
        if (history is < 0 or > 1000)
            throw new InvalidSettingException("serve", $"--history {history}", "no so many lines are kept",
                "write 0 to 1000");
        if (flood is not (> 0 and <= 1e6))
            throw new InvalidSettingException("serve", $"--flood {flood}", "nobody could say anything, or all at once",
                "write how many lines a second, above 0 and up to 1000000");
        var options = new ServerOptions();
        Configure(options);
        settings.Configure(options);
        return _hall = new ChatHall(new(history, flood, options.SlowReaders == SlowReaders.Wait));
    }
}
