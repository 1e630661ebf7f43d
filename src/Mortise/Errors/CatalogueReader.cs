using System.Reflection;

namespace Mortise.Errors;

/// <summary>
/// Reads the catalogue's text files (folder Catalogue). Both languages stand in one block, so that whoever edits one
/// sees the other. A mistake in a file is a bug of this assembly and throws; the tests read every block.
/// </summary>
internal sealed class CatalogueReader
{
    private static readonly string[] Themes =
        ["addresses", "connecting", "transfer", "sockets", "resources", "names", "closing"];

    private readonly List<(ErrorEntry Entry, string[] Aliases)> _entries = [];
    private readonly string _theme;
    private string[] _header = [];
    private string[] _aliases = [];
    private Draft? _english;
    private Draft? _chinese;

    private CatalogueReader(string theme) => _theme = theme;

    private sealed record Draft(string Meaning, List<string> Causes, List<string> Tries)
    {
        public ErrorText Text => new(Meaning, Causes, Tries);
    }

    /// <summary>Every entry with its further names (<c>EWOULDBLOCK</c>), in the order of the files.</summary>
    public static List<(ErrorEntry Entry, string[] Aliases)> ReadAll() =>
        [.. Themes.SelectMany(theme => new CatalogueReader(theme).Read())];

    private List<(ErrorEntry Entry, string[] Aliases)> Read()
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Mortise.Errors.{_theme}.txt")
            ?? throw new InvalidOperationException($"the catalogue has no theme {_theme}");
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
            Take(line);
        Finish();
        return _entries;
    }

    private void Take(string line)
    {
        if (line.Length == 0 || line[0] == '#')
            return;
        var space = line.IndexOf(' ');
        var (mark, rest) = space < 0 ? (line, "") : (line[..space], line[(space + 1)..]);
        switch (mark)
        {
            case "also": _aliases = rest.Split(' '); break;
            case "en:": _english = new(rest, [], []); break;
            case "zh:": _chinese = new(rest, [], []); break;
            case "-": (_chinese ?? _english)!.Causes.Add(rest); break;
            case ">": (_chinese ?? _english)!.Tries.Add(rest); break;
            default:
                Finish();
                _header = line.Split(' ');
                break;
        }
    }

    private void Finish()
    {
        if (_header.Length == 0)
            return;
        if (_header.Length is 3 or > 4 || _english is null || _chinese is null)
            throw new InvalidOperationException($"{_theme}.txt: the block of {_header[0]} is not complete");
        var winsockSymbol = _header.Length > 2 ? _header[2] : null;
        _entries.Add((new(_header[0], Number(1), Number(3), winsockSymbol, _english.Text, _chinese.Text), _aliases));
        (_header, _aliases, _english, _chinese) = ([], [], null, null);
    }

    private int Number(int column) => column < _header.Length ? int.Parse(_header[column]) : 0;
}
