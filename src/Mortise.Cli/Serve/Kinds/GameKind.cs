using System.CommandLine;
using Mortise.Cli.Serve.Game;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>
/// The tutorial's GameServer: every message gets the same reply, the end flag ends the dialogue. That is the lobby; who
/// joins a room plays.
/// </summary>
internal sealed class GameKind() : Kind("game", "tcp://127.0.0.1:9003",
    "The tutorial's game server: every message gets a reply, the end flag ends the dialogue; /join ROOM NAME plays")
{
    /// <summary>The world as it is now is worth more than what it was seconds ago.</summary>
    private const long QueueBytesMax = 64 * 1024;

    /// <summary>A full field in one frame.</summary>
    private const long WorldBytesMax = 8 * 1024;

    private readonly Option<string> _endFlag = new("--end-flag")
    {
        Description = "the message that ends a player's dialogue",
        HelpName = "TEXT",
        DefaultValueFactory = _ => "end",
    };

    private readonly Option<string> _reply = new("--reply")
    {
        Description = "what every other message gets",
        HelpName = "TEXT",
        DefaultValueFactory = _ => "Server to client!",
    };

    public override string DefaultFrame => "line";

    public override IEnumerable<Option> Options => [_endFlag, _reply];

    protected override string Sample => @"hello\nend\n";

    public override string TryWith(Endpoint endpoint, Framing? framing) =>
        $"mortise play {endpoint}    or: {base.TryWith(endpoint, framing)}";

    public override void Configure(ServerOptions options)
    {
        options.SlowReaders = SlowReaders.DropOldest;
        options.QueueBytesMax = QueueBytesMax;
    }

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        var endFlag = TextValues.Unescape(parsed.GetValue(_endFlag)!, settings.Encoding);
        var reply = TextValues.Unescape(parsed.GetValue(_reply)!, settings.Encoding);
        // Raw bytes have no end, and the tutorial's block of 1,024 no room: they have the lobby alone.
        var hall = settings.Framing?.FrameBytesMax >= WorldBytesMax
            ? new GameHall(TimeProvider.System, settings.Encoding) : null;
        var rules = new GameRules(endFlag, reply, settings.Encoding, hall);
        var codec = Codec.Frames(settings.Framing ?? Framing.Parse("raw"));
        return c => GamePlayer.ServeAsync(c, codec, rules, log);
    }
}
