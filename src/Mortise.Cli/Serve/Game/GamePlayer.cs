using System.Text;
using Mortise.Cli.Serve.Chat;

namespace Mortise.Cli.Serve.Game;

/// <summary>What the flags of `serve game` come to.</summary>
/// <param name="EndFlag">Ends a dialogue, and is its last answer.</param>
/// <param name="Reply">The answer to every other word in the lobby.</param>
/// <param name="Encoding">Of the commands.</param>
/// <param name="Hall">Null where frames cannot carry a world.</param>
internal sealed record GameRules(byte[] EndFlag, byte[] Reply, Encoding Encoding, GameHall? Hall);

/// <summary>
/// One connection. In the lobby it is the tutorial's dialogue: each word gets the reply. <c>/join</c> leads into a
/// room, where words are steps.
/// </summary>
internal sealed class GamePlayer
{
    private const double CommandsPerSecond = 5;
    private const string LobbyCommands = "/join ROOM NAME, /resume TOKEN, /rooms; any other word gets a reply";
    private const string RoomCommands = "up, down, left, right (or u d l r), /leave";

    private readonly GameRules _rules;
    private readonly ServeLog? _log;
    private readonly FloodGate? _gate;
    private Seat? _seat;
    private volatile bool _isReplaced;

    private GamePlayer(Session<ReadOnlyMemory<byte>> session, GameRules rules, ServeLog? log)
    {
        (Session, _rules, _log) = (session, rules, log);
        _gate = rules.Hall is null ? null : new FloodGate(CommandsPerSecond, rules.Hall.Time);
    }

    public Session<ReadOnlyMemory<byte>> Session { get; }

    /// <summary>Serves a connection to its end.</summary>
    public static async Task ServeAsync(Connection connection, FrameCodec codec, GameRules rules, ServeLog? log)
    {
        var player = new GamePlayer(connection.AsSession(codec), rules, log is { WantsMessages: true } ? log : null);
        try
        {
            await player.Session.HandleAsync((_, message) => player.HearAsync(message));
        }
        finally
        {
            player._seat?.Room.Lose(player._seat, player);
        }
    }

    /// <summary>Another connection came with the token.</summary>
    public void Replaced()
    {
        _isReplaced = true;
        Tell("over: another connection resumed with your token");
        Session.Finish();
    }

    private ValueTask HearAsync(ReadOnlyMemory<byte> message)
    {
        _log?.Received(Session.Connection, message.Span);
        if (_isReplaced)
            return default;
        if (message.Span.SequenceEqual(_rules.EndFlag))
            return EndAsync();
        if (_rules.Hall is { } hall && (_seat is not null || message.Span is [(byte)'/', ..]))
        {
            var words = _rules.Encoding.GetString(message.Span);
            Obey(hall, words.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
            return default;
        }

        return AnswerAsync(_rules.Reply);
    }

    private async ValueTask AnswerAsync(byte[] answer)
    {
        await Session.SendAsync(answer);
        _log?.Sent(Session.Connection, answer);
    }

    private async ValueTask EndAsync()
    {
        Leave();
        await AnswerAsync(_rules.EndFlag);
        _log?.SaidGoodbye(Session.Connection);
        Session.Finish();
    }

    private void Obey(GameHall hall, string[] words)
    {
        if (_seat is { } seat && words is [var step] && WayOf(step) is { } way)
            seat.Room.Wish(seat, way);
        else if (!_gate!.TryPass())
        {
            if (_gate.Refused == 1)
                Tell("refused: slow down");
        }
        else
            Obey(hall, words.FirstOrDefault() ?? "", words);
    }

    private void Obey(GameHall hall, string command, string[] words)
    {
        switch (command)
        {
            case "/rooms":
                Tell("rooms: " + string.Join(' ', hall.Rooms().Select(r => $"{r.Name}={r.Players}")));
                break;
            case "/join" when _seat is null && words is [_, var room, var name]:
                Join(hall, room, name);
                break;
            case "/resume" when _seat is null && words is [_, var token]:
                _seat = hall.Resume(this, token);
                Tell(_seat is null ? "refused: no such token, or its time is over" : Joined(_seat));
                break;
            case "/leave" when _seat is not null:
                Leave();
                Tell("lobby");
                break;
            default:
                Tell($"refused: it is {(_seat is null ? LobbyCommands : RoomCommands)}");
                break;
        }
    }

    private void Join(GameHall hall, string room, string name)
    {
        var reason = ChatNames.WhyNot(room, "room") ?? ChatNames.WhyNot(name, "name");
        if (reason is null)
            (_seat, reason) = hall.Join(this, room, name);
        Tell(_seat is null ? $"refused: {reason}" : Joined(_seat));
    }

    /// <summary>For good: the token is worth nothing any more.</summary>
    private void Leave()
    {
        _seat?.Room.Leave(_seat, this);
        _seat = null;
    }

    private static string Joined(Seat seat) => $"joined {seat.Room.Name} as {seat.Figure.Name} token={seat.Token} "
        + $"field={GameWorld.Width}x{GameWorld.Height}";

    private static Way? WayOf(string word) => word switch
    {
        "up" or "u" => Way.Up,
        "down" or "d" => Way.Down,
        "left" or "l" => Way.Left,
        "right" or "r" => Way.Right,
        _ => null,
    };

    private void Tell(string text)
    {
        var bytes = _rules.Encoding.GetBytes(text);
        if (Session.TrySend(bytes))
            _log?.Sent(Session.Connection, bytes);
    }
}
