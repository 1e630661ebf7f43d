using System.CommandLine;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>The tutorial's GameServer: every message gets the same reply, the end flag ends the dialogue.</summary>
internal sealed class GameKind() : Kind("game", "tcp://127.0.0.1:9003",
    "The tutorial's game server: every message gets a reply, the end flag is sent back and ends the dialogue")
{
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

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        var endFlag = TextValues.Unescape(parsed.GetValue(_endFlag)!, settings.Encoding);
        var reply = TextValues.Unescape(parsed.GetValue(_reply)!, settings.Encoding);
        var codec = Codec.Frames(settings.Framing ?? Framing.Parse("raw"));
        return c => PlayAsync(c, codec, endFlag, reply, log);
    }

    private static Task PlayAsync(Connection connection, FrameCodec codec, byte[] endFlag, byte[] reply,
        ServeLog log) =>
        connection.HandleAsync(codec, async (session, message) =>
        {
            if (log.WantsMessages)
                log.Received(connection, message.Span);
            var over = message.Span.SequenceEqual(endFlag);
            var answer = over ? endFlag : reply;
            await session.SendAsync(answer);
            if (log.WantsMessages)
                log.Sent(connection, answer);
            if (!over)
                return;
            if (log.WantsMessages)
                log.SaidGoodbye(connection);
            session.Finish();
        });
}
