using System.Text;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Mortise.Cli.Talk.Playing;

/// <summary>
/// Where a person types while lines come: on a terminal what is being typed stays the last line, and what comes goes
/// above it. Elsewhere lines are plain: input from stdin, what comes to stdout, remarks to stderr.
/// </summary>
internal abstract class Screen
{
    public static Screen Open() => !Console.IsInputRedirected && !Console.IsOutputRedirected
        ? new Terminal() : new Pipe();

    /// <summary>A person looks at it.</summary>
    public bool IsTerminal => this is Terminal;

    /// <summary>What the peer said. It is written out harmlessly whatever it is.</summary>
    public abstract void Show(string line);

    /// <summary>What this program has to say.</summary>
    public abstract void Note(string line);

    /// <summary>The next line typed; null at the end.</summary>
    public abstract string? ReadLine();

    /// <summary>Nothing more is typed: the shell's prompt comes next.</summary>
    public virtual void Close()
    {
        // Where nothing was drawn, nothing is to be erased.
    }

    private sealed class Pipe : Screen
    {
        public override void Show(string line) => Console.WriteLine(TerminalText.Escape(line));

        public override void Note(string line) => Console.Error.WriteLine(line);

        public override string? ReadLine() => Console.In.ReadLine();
    }

    private sealed class Terminal : Screen
    {
        private const string Prompt = "> ", EraseLine = "\r\u001b[2K";
        private const int RememberedMax = 100, WidthUntold = 80;

        private static readonly Color[] Colors =
            [Color.Green, Color.Yellow, Color.Blue, Color.Aqua, Color.Orange1, Color.Pink1, Color.SpringGreen1];

        private readonly Lock _gate = new();
        private readonly StringBuilder _typed = new();
        private readonly List<string> _remembered = [];
        private int _looked;

        public override void Show(string line)
        {
            line = TerminalText.Escape(line);
            var name = line.StartsWith('[') ? line.IndexOf(": ", StringComparison.Ordinal) : -1;
            var room = line.IndexOf("] ", StringComparison.Ordinal) + 2;
            if (line.StartsWith("* ", StringComparison.Ordinal))
                Above(new Text(line, new Style(decoration: Decoration.Dim)));
            else if (name < room || room < 2)
                Above(new Text(line, new Style(Color.Fuchsia)));
            else
                Above(new Paragraph().Append(line[..room], new Style(decoration: Decoration.Dim))
                    .Append(line[room..name], new Style(ColorOf(line[room..name]), decoration: Decoration.Bold))
                    .Append(line[name..]));
        }

        public override void Note(string line) => Above(new Text(line, new Style(Color.Grey)));

        public override string? ReadLine()
        {
            lock (_gate)
                Redraw();
            while (true)
            {
                var key = Console.ReadKey(intercept: true);
                lock (_gate)
                {
                    if (key.Key == ConsoleKey.D && key.Modifiers == ConsoleModifiers.Control && _typed.Length == 0)
                        return null;
                    if (key.Key == ConsoleKey.Enter && _typed.Length > 0)
                        return Take();
                    Type(key);
                    Redraw();
                }
            }
        }

        public override void Close()
        {
            lock (_gate)
                Console.Write(EraseLine);
        }

        private string Take()
        {
            var line = _typed.ToString();
            _typed.Clear();
            _remembered.Add(line);
            if (_remembered.Count > RememberedMax)
                _remembered.RemoveAt(0);
            _looked = _remembered.Count;
            Console.Write(EraseLine);
            AnsiConsole.Write(new Text(line + "\n", new Style(decoration: Decoration.Italic)));
            return line;
        }

        private void Type(ConsoleKeyInfo key)
        {
            switch (key.Key)
            {
                case ConsoleKey.Backspace when _typed.Length > 0:
                    var isPair = _typed.Length > 1 && char.IsLowSurrogate(_typed[^1]);
                    _typed.Length -= isPair ? 2 : 1;
                    break;
                case ConsoleKey.Escape or ConsoleKey.U when key.Key == ConsoleKey.Escape
                    || key.Modifiers == ConsoleModifiers.Control:
                    _typed.Clear();
                    break;
                case ConsoleKey.UpArrow or ConsoleKey.DownArrow:
                    _looked = Math.Clamp(_looked + (key.Key == ConsoleKey.UpArrow ? -1 : 1), 0, _remembered.Count);
                    _typed.Clear().Append(_looked < _remembered.Count ? _remembered[_looked] : "");
                    break;
                default:
                    if (!char.IsControl(key.KeyChar))
                        _typed.Append(key.KeyChar);
                    break;
            }
        }

        private void Above(IRenderable what)
        {
            lock (_gate)
            {
                Console.Write(EraseLine);
                AnsiConsole.Write(what);
                Console.WriteLine();
                Redraw();
            }
        }

        /// <summary>Of a long line, the end is seen.</summary>
        private void Redraw()
        {
            var shown = TerminalText.Escape(_typed.ToString());
            var width = Console.BufferWidth is var told and > 0 ? told : WidthUntold;
            while (shown.Length > 0 && new Segment(shown).CellCount() >= width - Prompt.Length)
                shown = shown[(char.IsHighSurrogate(shown[0]) ? 2 : 1)..];
            Console.Write(EraseLine + Prompt + shown);
        }

        private static Color ColorOf(string name) =>
            Colors[(int)(name.Aggregate(0u, (sum, c) => sum * 31 + c) % (uint)Colors.Length)];
    }
}
