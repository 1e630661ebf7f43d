using System.CommandLine;
using System.Globalization;

namespace Mortise.Cli.Lookup;

/// <summary>`mortise explain`: what an error means, why it happens and what to try, under any of its names.</summary>
internal static class ExplainVerb
{
    /// <summary>Topics that other parts of the project will explain; asking for one is no typing error.</summary>
    private static readonly string[] LaterTopics =
    [
        "handles", "sockets", "states", "handshake", "backlog", "eof", "framing",
    ];

    private const string ByteOrders = """
        0x12345678 in memory, from the low address to the high
          big-endian (the network)      12 34 56 78   the high byte comes first
          little-endian (x86-64, ARM)   78 56 34 12   the low byte comes first
        a number of your own: mortise bytes 9003
        """;

    private const string Winsock =
        "nothing to do: .NET calls WSAStartup and WSACleanup itself on Windows; no other system has them";

    private static readonly Dictionary<string, string> Topics = new(StringComparer.OrdinalIgnoreCase)
    {
        ["byte-order"] = ByteOrders,
        ["endian"] = ByteOrders,
        ["tcp-vs-udp"] = TcpVsUdp.Page,
        ["WSAStartup"] = Winsock,
        ["WSACleanup"] = Winsock,
    };

    public static Command Build()
    {
        var what = new Argument<string>("ERROR")
        {
            Description = "a name or number: EADDRINUSE, 98, 10048, frame_too_long",
            Arity = ArgumentArity.ZeroOrOne,
        };
        var list = new Option<bool>("--list") { Description = "all errors that can be explained" };
        var json = new Option<bool>("--json") { Description = "one JSON object for each error" };
        var command = new Command("explain", "What an error means and what to try: mortise explain EADDRINUSE")
        {
            what, list, json,
        };
        command.SetAction(parsed =>
        {
            var lang = parsed.GetValue<string>("--lang")!;
            if (parsed.GetValue(what) is { } text && !parsed.GetValue(list))
                Explain(text, lang, parsed.GetValue(json));
            else
                List(lang, parsed.GetValue(json));
            return 0;
        });
        return command;
    }

    private static void Explain(string text, string lang, bool json)
    {
        if (Topics.TryGetValue(text, out var told))
        {
            Tell(text, told, json);
            return;
        }

        if (LaterTopics.Contains(text.ToLowerInvariant()))
            throw new UnsupportedException("explain", text, "this version explains errors, not topics yet",
                "`mortise explain --list` shows what there is");
        if (!ErrorCatalogue.TryFind(text, out var entry))
            throw new InvalidSettingException("explain", text, "the catalogue does not know it",
                Nearest(text) is { Length: > 0 } near
                    ? $"did you mean {string.Join(" or ", near)}?"
                    : "`mortise explain --list` shows what there is");
        if (json)
            PrintJson(entry, lang);
        else
            Print(entry, entry.For(lang), lang == "zh");
    }

    private static void Tell(string topic, string text, bool asJson)
    {
        if (asJson)
            JsonLine.Write("explained", json =>
            {
                json.WriteString("topic", topic);
                json.WriteString("text", text);
            });
        else
            Console.WriteLine(text);
    }

    private static void Print(ErrorEntry entry, ErrorText text, bool chinese)
    {
        Console.WriteLine(Title(entry));
        Console.WriteLine("  " + text.Meaning);
        Console.WriteLine();
        Console.WriteLine(chinese ? "可能的原因" : "likely causes");
        foreach (var cause in text.Causes)
            Console.WriteLine("  - " + cause);
        Console.WriteLine();
        Console.WriteLine(chinese ? "可以尝试" : "try");
        foreach (var (index, next) in text.Tries.Index())
            Console.WriteLine($"  {index + 1}. {next}");
    }

    private static string Title(ErrorEntry entry)
    {
        var title = entry.Symbol;
        if (entry.Errno != 0)
            title += $"  errno {entry.Errno}";
        if (entry.WinsockSymbol is { } winsock)
            title += $"  {winsock} {entry.Winsock}";
        return title;
    }

    private static void List(string lang, bool json)
    {
        foreach (var entry in ErrorCatalogue.All)
        {
            if (json)
            {
                PrintJson(entry, lang);
                continue;
            }

            var number = entry.Errno == 0 ? "" : entry.Errno.ToString(CultureInfo.InvariantCulture);
            Console.WriteLine($"{entry.Symbol,-20}{number,4}  {entry.For(lang).Meaning}");
        }
    }

    private static void PrintJson(ErrorEntry entry, string lang) => JsonLine.Write("explained", json =>
    {
        var text = entry.For(lang);
        json.WriteString("symbol", entry.Symbol);
        json.WriteNumber("errno", entry.Errno);
        json.WriteNumber("winsock", entry.Winsock);
        json.WriteString("winsock_symbol", entry.WinsockSymbol);
        json.WriteString("meaning", text.Meaning);
        Texts("causes", text.Causes);
        Texts("try", text.Tries);

        void Texts(string name, IReadOnlyList<string> values)
        {
            json.WriteStartArray(name);
            foreach (var value in values)
                json.WriteStringValue(value);
            json.WriteEndArray();
        }
    });

    private static string[] Nearest(string text)
    {
        var wanted = text.ToUpperInvariant();
        return
        [
            .. ErrorCatalogue.All
                .Select(e => (e.Symbol, Distance: CommandLine.Distance(wanted, e.Symbol.ToUpperInvariant())))
                .Where(n => n.Distance <= Math.Max(2, wanted.Length / 3))
                .OrderBy(n => n.Distance)
                .Take(3)
                .Select(n => n.Symbol),
        ];
    }
}
