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

    private readonly List<(ErrorEntry Entry, string[] Aliases)> entries = [];
    private readonly string theme;
    private string[] header = [];
    private string[] aliases = [];
    private Draft? english;
    private Draft? chinese;

    private CatalogueReader(string theme) => this.theme = theme;

    private sealed record Draft(string Meaning, List<string> Causes, List<string> Tries)
    {
        public ErrorText Text => new(Meaning, Causes, Tries);
    }

    /// <summary>Every entry with its further names (<c>EWOULDBLOCK</c>), in the order of the files.</summary>
    public static List<(ErrorEntry Entry, string[] Aliases)> ReadAll() =>
        [.. Themes.SelectMany(theme => new CatalogueReader(theme).Read())];

    private List<(ErrorEntry Entry, string[] Aliases)> Read()
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream($"Mortise.Errors.{theme}.txt")
            ?? throw new InvalidOperationException($"the catalogue has no theme {theme}");
        using var reader = new StreamReader(stream);
        while (reader.ReadLine() is { } line)
            Take(line);
        Finish();
        return entries;
    }

    private void Take(string line)
    {
        if (line.Length == 0 || line[0] == '#')
            return;
        var space = line.IndexOf(' ');
        var (mark, rest) = space < 0 ? (line, "") : (line[..space], line[(space + 1)..]);
        switch (mark)
        {
            case "also": aliases = rest.Split(' '); break;
            case "en:": english = new(rest, [], []); break;
            case "zh:": chinese = new(rest, [], []); break;
            case "-": (chinese ?? english)!.Causes.Add(rest); break;
            case ">": (chinese ?? english)!.Tries.Add(rest); break;
            default:
                Finish();
                header = line.Split(' ');
                break;
        }
    }

    private void Finish()
    {
        if (header.Length == 0)
            return;
        if (header.Length is 3 or > 4 || english is null || chinese is null)
            throw new InvalidOperationException($"{theme}.txt: the block of {header[0]} is not complete");
        var winsockSymbol = header.Length > 2 ? header[2] : null;
        entries.Add((new(header[0], Number(1), Number(3), winsockSymbol, english.Text, chinese.Text), aliases));
        (header, aliases, english, chinese) = ([], [], null, null);
    }

    private int Number(int column) => column < header.Length ? int.Parse(header[column]) : 0;
}
