using System.Text;

namespace Mortise.Cli.Serve.Chat;

/// <summary>
/// One person or program in the chat, from its welcome to its end. The same for every codec: it knows messages, and not
/// how they look.
/// </summary>
internal sealed class ChatGuest
{
    private const int TextBytesMax = 4096, ShownMax = 50;

    private const string Commands = "/nick NAME, /join ROOM, /leave, /who, /msg NAME TEXT, /rooms, /quit";

    private readonly ChatHall _hall;
    private readonly FloodGate _gate;
    private volatile string _name;
    private bool _hasSpoken;
    private bool _isLeaving;

    private ChatGuest(ChatHall hall, Session<ChatMessage> session)
    {
        (_hall, Session) = (hall, session);
        _gate = new FloodGate(hall.Settings.LinesPerSecond, TimeProvider.System);
        _name = hall.Enter(this);
    }

    public Session<ChatMessage> Session { get; }

    public string Name => _name;

    /// <summary>Null before the first room and after the last.</summary>
    public ChatRoom? Room { get; set; }

    /// <summary>Serves a connection to its end.</summary>
    public static async Task ServeAsync(ChatHall hall, Connection connection, Codec<ChatMessage> codec,
        Action<Connection, ChatMessage>? onMessage)
    {
        var session = connection.AsSession(codec);
        var guest = new ChatGuest(hall, session);
        session.Items[nameof(ChatGuest)] = guest;
        session.OnMissed = (s, count) => s.TrySend(new(ChatKinds.Missed, Count: count));
        try
        {
            guest.Go(ChatHall.Lobby, isWelcome: true);
            await session.HandleAsync((_, message) =>
            {
                onMessage?.Invoke(connection, message);
                return guest.HearAsync(message);
            });
            if (connection.CloseReason is null)
                guest.Tell(Interrupts.First.IsCancellationRequested ? "the server stops: goodbye"
                    : "goodbye" + (guest._isLeaving ? "" : ": you have finished, or were silent for too long"));
        }
        catch (FrameException e)
        {
            guest.Tell("goodbye: " + e.CloseReason switch
            {
                CloseReason.FrameTooLong => $"a message has at most {e.FrameBytesMax:N0} bytes",
                CloseReason.UnexpectedEof => "your last message had no end, and was not said",
                _ => e.Reason,
            });
            throw;
        }
        finally
        {
            // A slow reader is cut off inside somebody else's broadcast: what follows must not run under that lock.
            await Task.Yield();
            hall.Leave(guest, isTold: !Interrupts.First.IsCancellationRequested);
        }
    }

    private ValueTask HearAsync(ChatMessage message)
    {
        if (!_gate.TryPass())
        {
            if (_gate.IsHopeless)
                End("goodbye: you sent line after line without a pause", CloseReason.RateLimit);
            else if (_gate.Refused == 1)
                Refuse($"slow down: at most {_hall.Settings.LinesPerSecond:0.##} lines a second; what is more is not "
                    + "said");
            return default;
        }

        switch (message.Kind)
        {
            case ChatKinds.Say: return SayAsync(message.Text);
            case ChatKinds.Msg: Whisper(message.Name, message.Text); break;
            case ChatKinds.Nick: Rename(message.Name); break;
            case ChatKinds.Join: Join(message.Room); break;
            case ChatKinds.Leave when Room?.Name == ChatHall.Lobby:
                Refuse("you are in the lobby: /quit leaves the chat");
                break;
            case ChatKinds.Leave: Go(ChatHall.Lobby); break;
            case ChatKinds.Who: Send(Who()); break;
            case ChatKinds.Rooms: Send(ListOf(ChatKinds.Rooms, null, _hall.Rooms()
                .Where(r => r.Members > 0 || r.Name == ChatHall.Lobby).Select(r => $"{r.Name} ({r.Members})"))); break;
            case ChatKinds.Help: Tell($"a line is said to your room; {Commands}"); break;
            case ChatKinds.Quit: End(null, CloseReason.Local); break;
            default: Refuse($"there is no command {Clean(message.Text ?? message.Kind ?? "")}; {Commands}"); break;
        }

        _hasSpoken = true;
        return default;
    }

    private ValueTask SayAsync(string? text)
    {
        text = Clean(text ?? "");
        if (!_hasSpoken && ChatLines.IsHttp(text))
        {
            End("this is a chat, not a web server: come with nc or telnet", CloseReason.FrameInvalid);
            return default;
        }

        _hasSpoken = true;
        if (text.Length == 0 || !IsShort(text))
            return default;
        return Room!.SayAsync(new(ChatKinds.Say, Room.Name, Name, text), Session, _hall.Settings.WaitsForSlow);
    }

    private void Whisper(string? name, string? text)
    {
        text = Clean(text ?? "");
        if (string.IsNullOrEmpty(name) || text.Length == 0)
            Refuse("it is /msg NAME TEXT");
        else if (_hall.Find(name) is not { } other)
            Refuse($"nobody is called {Clean(name)}; /who tells who is here");
        else if (IsShort(text) && !other.Session.TrySend(new(ChatKinds.Msg, Name: Name, Text: text)))
            Refuse($"{other.Name} reads too slowly: not delivered");
    }

    private void Rename(string? wanted)
    {
        if (ChatNames.WhyNot(wanted, "name") is { } reason)
        {
            Refuse(reason + (string.IsNullOrEmpty(wanted) ? " it is /nick NAME" : ""));
            return;
        }

        if (!_hall.TryRename(this, wanted!))
        {
            Refuse($"{wanted} is taken");
            return;
        }

        var old = Name;
        _name = wanted!;
        Room!.Tell(new(ChatKinds.Renamed, Room.Name, old, wanted));
    }

    private void Join(string? room)
    {
        if (ChatNames.WhyNot(room, "room") is { } reason)
            Refuse(reason + (string.IsNullOrEmpty(room) ? " it is /join ROOM" : ""));
        else if (room!.ToLowerInvariant() is var name && name == Room!.Name)
            Refuse($"you are in {name}");
        else
            Go(name);
    }

    private void Go(string room, bool isWelcome = false)
    {
        var isFree = _hall.Move(this, room, (count, history) =>
        {
            Send(isWelcome
                ? new(ChatKinds.Welcome, room, Name, "/nick NAME gives you a name, /help lists the rest", Count: count)
                : new(ChatKinds.Joined, room, "you", Count: count));
            if (history.Count == 0)
                return;
            Send(new(ChatKinds.History, room, Count: history.Count));
            foreach (var line in history)
                Send(line);
        });
        if (!isFree)
            Refuse("there are too many rooms; /rooms lists them");
    }

    private ChatMessage Who() => ListOf(ChatKinds.Here, Room!.Name, Room.Group.Members
        .Select(s => ((ChatGuest)s.Items[nameof(ChatGuest)]!).Name).Order(StringComparer.OrdinalIgnoreCase));

    private static ChatMessage ListOf(string kind, string? room, IEnumerable<string> names)
    {
        var all = names.ToList();
        return new(kind, room, Names: all.Take(ShownMax).ToList(), Count: all.Count);
    }

    private bool IsShort(string text)
    {
        var bytes = Encoding.UTF8.GetByteCount(text);
        if (bytes > TextBytesMax)
            Refuse($"too long: {bytes:N0} bytes, at most {TextBytesMax:N0}; nothing was said");
        return bytes <= TextBytesMax;
    }

    /// <summary>What was sent goes out, and nothing more is heard.</summary>
    private void End(string? lastWord, CloseReason reason)
    {
        _isLeaving = true;
        if (lastWord is not null)
            Refuse(lastWord);
        Session.Connection.EndInput(reason);
        Session.Finish();
    }

    private void Tell(string text) => Send(new(ChatKinds.Notice, Text: text));

    private void Refuse(string text) => Send(new(ChatKinds.Refused, Text: text));

    /// <summary>To this guest alone. Who does not read what he asked for himself is told nothing more.</summary>
    private void Send(ChatMessage message) => Session.TrySend(message);

    /// <summary>No control characters of one terminal reach another.</summary>
    private static string Clean(string text) => TerminalText.Escape(text.Trim());
}
