using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;

namespace Mortise.Cli.Serve.Game;

/// <summary>
/// The rooms of one server, and the tokens of those who play in them. At most 100 rooms of 32 players, so at most 3,200
/// tokens; a token is 128 random bits, known to its player alone, and ends with its figure.
/// </summary>
internal sealed class GameHall(TimeProvider time, Encoding encoding)
{
    private const int RoomsMax = 100, TokenBytes = 16;

    private readonly ConcurrentDictionary<string, Seat> _tokens = new();
    private readonly Dictionary<string, GameRoom> _rooms = [];
    private readonly Lock _gate = new();

    public TimeProvider Time => time;

    /// <summary>Tokens that are worth something: one for each figure.</summary>
    public int Tokens => _tokens.Count;

    public Encoding Encoding => encoding;

    public IReadOnlyList<(string Name, int Players)> Rooms()
    {
        GameRoom[] rooms;
        lock (_gate)
            rooms = [.. _rooms.Values];
        return [.. rooms.Select(r => (r.Name, r.Players)).OrderBy(r => r.Name, StringComparer.Ordinal)];
    }

    /// <summary>Why there is no seat, or the seat.</summary>
    public (Seat? Seat, string? WhyNot) Join(GamePlayer player, string room, string name)
    {
        GameRoom? found;
        Seat? seat;
        do
        {
            found = FindOrMake(room, player);
            seat = found?.Enter(player, name);
        }
        while (found?.IsClosed == true); // just now, behind its last player: there is another by now

        if (found is null)
            return (null, $"there are {RoomsMax} rooms already: /rooms lists them");
        if (seat is null)
            return (null, $"{room} is full, or somebody is called {name} there");
        seat.Token = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(TokenBytes));
        _tokens[seat.Token] = seat;
        return (seat, null);
    }

    /// <summary>Null: there is no such token, or its time is over.</summary>
    public Seat? Resume(GamePlayer player, string token) =>
        _tokens.TryGetValue(token, out var seat) && seat.Room.TryResume(seat, player) ? seat : null;

    public void Forget(Seat seat)
    {
        if (seat.Token is { } token)
            _tokens.TryRemove(token, out _);
    }

    public void Closed(GameRoom room)
    {
        lock (_gate)
        {
            if (_rooms.GetValueOrDefault(room.Name) == room)
                _rooms.Remove(room.Name);
        }
    }

    private GameRoom? FindOrMake(string name, GamePlayer player)
    {
        lock (_gate)
        {
            if (_rooms.TryGetValue(name, out var room))
                return room;
            return _rooms.Count >= RoomsMax ? null
                : _rooms[name] = new GameRoom(this, name, player.Session.Groups["game " + name]);
        }
    }
}
