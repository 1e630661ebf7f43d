using System.Globalization;
using System.Text;

namespace Mortise.Cli.Serve.Game;

/// <summary>The four ways to go; the y axis points down, as lines of a terminal do.</summary>
internal enum Way
{
    Up,
    Down,
    Left,
    Right,
}

/// <summary>Somebody on the field.</summary>
internal sealed class Figure(string name, int x, int y)
{
    /// <summary>Steps that were asked for and not made yet: one is made each tick, more than these are forgotten.
    /// </summary>
    private const int WishesMax = 8;

    private readonly Queue<Way> _wishes = new();

    public string Name => name;

    public int X { get; set; } = x;

    public int Y { get; set; } = y;

    public int Score { get; set; }

    /// <summary>Nobody plays it just now.</summary>
    public bool IsAway { get; set; }

    public void Wish(Way way)
    {
        if (_wishes.Count < WishesMax)
            _wishes.Enqueue(way);
    }

    public bool TryNext(out Way way) => _wishes.TryDequeue(out way);
}

/// <summary>
/// A field of cells with coins: whoever steps on a coin has it, and another appears. No clock and no network: the same
/// seed and the same wishes make the same world, step by step.
/// </summary>
internal sealed class GameWorld
{
    public const int Width = 40, Height = 16, Coins = 8, FiguresMax = 32;

    private readonly Random _random;
    private readonly List<Figure> _figures = [];
    private readonly List<(int X, int Y)> _coins = [];

    public GameWorld(int seed)
    {
        _random = new Random(seed);
        while (_coins.Count < Coins)
            _coins.Add(FreeCell());
    }

    public IReadOnlyList<Figure> Figures => _figures;

    /// <summary>Null where the field is full.</summary>
    public Figure? Enter(string name)
    {
        if (_figures.Count >= FiguresMax)
            return null;
        var (x, y) = FreeCell();
        var figure = new Figure(name, x, y);
        _figures.Add(figure);
        return figure;
    }

    public void Leave(Figure figure) => _figures.Remove(figure);

    /// <summary>Each makes its next step, in the order of entering; a wall or a figure in the way stops it.</summary>
    public void Step()
    {
        foreach (var figure in _figures)
        {
            if (!figure.TryNext(out var way))
                continue;
            var (x, y) = way switch
            {
                Way.Up => (figure.X, figure.Y - 1),
                Way.Down => (figure.X, figure.Y + 1),
                Way.Left => (figure.X - 1, figure.Y),
                _ => (figure.X + 1, figure.Y),
            };
            if (x is < 0 or >= Width || y is < 0 or >= Height || _figures.Exists(f => f.X == x && f.Y == y))
                continue;
            (figure.X, figure.Y) = (x, y);
            if (!_coins.Remove((x, y)))
                continue;
            figure.Score++;
            _coins.Add(FreeCell());
        }
    }

    /// <summary><c>state TICK coins=X,Y;… players=NAME:X,Y:SCORE;…</c>, a <c>~</c> after the score of who is away.
    /// </summary>
    public string Describe(long tick)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"state {tick} coins=");
        foreach (var (x, y) in _coins)
            text.Append(CultureInfo.InvariantCulture, $"{x},{y};");
        text.Length--;
        text.Append(" players=");
        foreach (var f in _figures)
            text.Append(CultureInfo.InvariantCulture, $"{f.Name}:{f.X},{f.Y}:{f.Score}{(f.IsAway ? "~" : "")};");
        if (_figures.Count > 0)
            text.Length--;
        return text.ToString();
    }

    /// <summary>There are always more cells than figures and coins.</summary>
    private (int X, int Y) FreeCell()
    {
        while (true)
        {
            var (x, y) = (_random.Next(Width), _random.Next(Height));
            if (!_coins.Contains((x, y)) && !_figures.Exists(f => f.X == x && f.Y == y))
                return (x, y);
        }
    }
}
