using System.CommandLine;
using System.CommandLine.Parsing;
using Mortise.Cli.Lookup;
using Mortise.Cli.Serve;
using Mortise.Cli.Talk;

namespace Mortise.Cli;

/// <summary>The root command: its verbs, and what holds for all of them (usage errors, failures, signals).</summary>
internal static class CommandLine
{
    private static readonly Option<string> Language = new("--lang")
    {
        Description = "the language of messages: en or zh",
        DefaultValueFactory = _ => "en",
        Recursive = true,
    };

    /// <summary>Every verb; each has a file of its own and a static Build.</summary>
    private static Command[] Verbs() =>
    [
        ServeVerb.Build(), ConnectVerb.Build(), ListenVerb.Build(), SendVerb.Build(), PlayVerb.Build(),
        ResolveVerb.Build(), AddrVerb.Build(), BytesVerb.Build(), ExplainVerb.Build(), DoctorVerb.Build(),
        PsVerb.Build(),
    ];

    /// <summary>Runs one command line and gives its exit code.</summary>
    public static async Task<int> RunAsync(string[] args)
    {
        Language.AcceptOnlyFromAmong("en", "zh");
        var root = new RootCommand($"Socket servers and clients that explain themselves.\n\n{ExitCodes.Told}")
        {
            Language,
        };
        foreach (var verb in Verbs())
            root.Add(verb);
        if (args is ["help", ..])
            args = [.. args[1..], "--help"];
        var parsed = root.Parse(args, new ParserConfiguration { ResponseFileTokenReplacer = null });
        if (parsed.CommandResult.Command == root)
            Shorten(root.Subcommands);
        var stray = StrayOptions(parsed, args);
        if (parsed.Errors.Count > 0 || stray.Count > 0)
            return TellUsage(parsed, stray);
        bool Given(string name) => parsed.Tokens.Any(t => t.Type == TokenType.Option && t.Value == name);
        // The long way to say --json; where a verb has no such option there is no such token.
        var isJson = Given("--json") || parsed.Tokens.Zip(parsed.Tokens.Skip(1))
            .Any(pair => pair is { First: { Type: TokenType.Option, Value: "--log-format" }, Second.Value: "json" });
        var report = new FailureReport(isJson, Given("-v") || Given("--verbose"),
            parsed.GetValue(Language) ?? "en");
        using var interrupts = new Interrupts();
        try
        {
            var configuration = new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,   // Interrupts looks after signals
            };
            return await parsed.InvokeAsync(configuration, Interrupts.First);
        }
        catch (Exception e)
        {
            return Tell(report, e);
        }
    }

    /// <summary>The list of verbs shows what each does; the examples are for its own help.</summary>
    private static void Shorten(IEnumerable<Command> verbs)
    {
        foreach (var verb in verbs)
            verb.Description = verb.Description?.Split('\n')[0];
    }

    private static int Tell(FailureReport report, Exception failure)
    {
        try
        {
            return report.Tell(failure);
        }
        catch (ClosedOutputException)
        {
            return ExitCodes.Of(failure);
        }
        catch (IOException)
        {
            return (report with { Json = false }).Tell(failure); // the --json event found no room on stdout
        }
    }

    /// <summary>A mistyped option must not pass as the value of an argument; after <c>--</c> it may.</summary>
    private static List<string> StrayOptions(ParseResult parsed, string[] args) => args.Contains("--") ? []
        : [.. parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(a => a.Tokens).Select(t => t.Value)
            .Where(v => v.Length > 2 && v.StartsWith("--", StringComparison.Ordinal))];

    private static int TellUsage(ParseResult parsed, List<string> stray)
    {
        // "Required command was not provided" says nothing where a mistyped one was.
        var noted = parsed.UnmatchedTokens.Count > 0
            ? parsed.Errors.Where(e => e.Message.Contains('\''))
            : parsed.Errors;
        var messages = noted.Select(e => e.Message).Concat(stray.Select(s => $"there is no option {s}"));
        foreach (var message in messages.Distinct())
            Console.Error.WriteLine("mortise: " + TerminalText.Escape(message
                .Replace("as expected type 'System.Nullable`1[System.Int32]'", "as a whole number")
                .Replace("as expected type 'System.Int32'", "as a whole number")
                .Replace("as expected type 'System.Double'", "as a number")));
        if (stray.Contains("--port") && parsed.CommandResult.Command.Arguments.Any(a => a.Name == "ENDPOINT"))
            Console.Error.WriteLine("  a port is written as an endpoint: :7007, or HOST:7007");
        foreach (var token in parsed.UnmatchedTokens.Concat(stray).Distinct())
        {
            if (Nearest(token, parsed.CommandResult) is { } near)
                Console.Error.WriteLine($"  did you mean {near}?");
        }

        if (parsed.CommandResult.Command.Subcommands.Select(c => c.Name).ToArray() is { Length: > 0 } names)
            Console.Error.WriteLine($"  choose one of: {string.Join(", ", names)}");
        var path = new List<string>();
        for (SymbolResult? at = parsed.CommandResult; at is CommandResult command; at = at.Parent)
            path.Insert(0, command.Command is RootCommand ? "mortise" : command.Command.Name);
        Console.Error.WriteLine($"  see: {string.Join(' ', path)} --help");
        return ExitCodes.Usage;
    }

    /// <summary>The option or verb that differs from the token by the fewest letters, at most 3.</summary>
    private static string? Nearest(string token, CommandResult at)
    {
        var names = new List<string>(at.Command.Subcommands.Select(c => c.Name));
        for (SymbolResult? level = at; level is CommandResult command; level = level.Parent)
            names.AddRange(command.Command.Options.Where(o => level == at || o.Recursive).Select(o => o.Name));
        return names.Where(n => n.StartsWith('-') == token.StartsWith('-'))
            .Select(n => (Name: n, Distance: Distance(n, token)))
            .Where(n => n.Distance <= Math.Min(3, token.Length / 3)).OrderBy(n => n.Distance)
            .Select(n => n.Name).FirstOrDefault();
    }

    internal static int Distance(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0];
            row[0] = i;
            for (var j = 1; j <= b.Length; j++)
            {
                var step = Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1));
                diagonal = row[j];
                row[j] = step;
            }
        }

        return row[^1];
    }
}
