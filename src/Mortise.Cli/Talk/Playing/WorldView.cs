using System.Globalization;
using System.Text;

namespace Mortise.Cli.Talk.Playing;

/// <summary>The world of `serve game` on a terminal: one write for each state, over the one before.</summary>
internal sealed class WorldView(string me)
{
    private const int Width = 40, Height = 16;
    private const string OtherScreen = "\u001b[?1049h\u001b[?25l", FirstScreen = "\u001b[?25h\u001b[?1049l";

    private readonly Lock _gate = new();
    private string _note = "";
    private string _state = "";
    private bool _isOpen;

    public void Open()
    {
        lock (_gate)
        {
            _isOpen = true;
            Console.Write(OtherScreen);
        }
    }

    public void Close()
    {
        lock (_gate)
        {
            if (_isOpen)
                Console.Write(FirstScreen);
            _isOpen = false;
        }
    }

    public void Note(string text)
    {
        _note = text.Length > 70 ? text[..70] : text;
        Draw(_state);
    }

    public void Draw(string state)
    {
        lock (_gate)
        {
            _state = state;
            if (_isOpen)
                Console.Write(Picture(state, me, _note));
        }
    }

    /// <summary>A state that is not understood shows an empty field.</summary>
    public static string Picture(string state, string me, string note)
    {
        var field = new string?[Width, Height];
        var players = new List<(string Name, string Score)>();
        foreach (var word in state.Split(' '))
        {
            foreach (var coin in List(word, "coins="))
                Put(coin, "\u001b[33mo\u001b[0m");
            foreach (var player in List(word, "players="))
            {
                if (player.Split(':') is not [var name, var place, var score] || name.Length == 0)
                    continue;
                players.Add((name, score));
                var first = Rune.GetRuneAt(name, 0).ToString();
                Put(place, name == me ? $"\u001b[1;32m{first}\u001b[0m" : $"\u001b[36m{first}\u001b[0m");
            }
        }

        var text = new StringBuilder("\u001b[H").Append('┌').Append('─', Width).Append("┐\u001b[K\r\n");
        for (var y = 0; y < Height; y++)
        {
            text.Append('│');
            for (var x = 0; x < Width; x++)
                text.Append(field[x, y] ?? " ");
            text.Append("│\u001b[K\r\n");
        }

        text.Append('└').Append('─', Width).Append("┘\u001b[K\r\n");
        text.AppendJoin("  ", players.Select(p => $"{p.Name} {p.Score}").Take(8)).Append("\u001b[K\r\n");
        return text.Append("arrows move, q ends   ").Append(note).Append("\u001b[K\r\n\u001b[J").ToString();

        void Put(string place, string what)
        {
            if (place.Split(',') is [var x, var y]
                && int.TryParse(x, NumberStyles.None, CultureInfo.InvariantCulture, out var column)
                && int.TryParse(y, NumberStyles.None, CultureInfo.InvariantCulture, out var row)
                && column < Width && row < Height)
                field[column, row] = what;
        }
    }

    private static string[] List(string word, string name) =>
        word.StartsWith(name, StringComparison.Ordinal) ? word[name.Length..].Split(';') : [];
}
