using System.CommandLine;
using System.Net.Sockets;

namespace Mortise.Cli.Lookup;

/// <summary>
/// `mortise doctor`: the engine that would serve and the limits that a server will meet here, judged, with what would
/// change each.
/// </summary>
internal static class DoctorVerb
{
    public static Command Build()
    {
        var socket = new Option<string?>("--socket")
        {
            Description = "only try socket(2) with these: inet,stream,udp (exit 12 when the kernel refuses)",
            HelpName = "FAMILY,TYPE,PROTOCOL",
        };
        var json = new Option<bool>("--json") { Description = "one JSON object a line" };
        var command = new Command("doctor", "The engine that serves here and why, limits, and what would change them")
        {
            socket, json,
        };
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(socket) is { } asked)
            {
                SocketMatrix.Demand(asked);
                Console.WriteLine($"socket {asked}: supported");
            }
            else if (parsed.GetValue(json))
                PrintJson();
            else
                Print();
            return 0;
        });
        return command;
    }

    private static IEnumerable<Finding> Findings() => EngineFacts.All().Concat(KernelFacts.All());

    private static void Print()
    {
        var findings = Findings().ToList();
        var width = findings.Max(f => f.Value.Length) + 2;
        foreach (var finding in findings)
        {
            var value = finding.Value.PadRight(width);
            Console.WriteLine($"{Mark(finding.Verdict)}  {finding.Name,-14}{value}{finding.Meaning}");
            if (finding.Change is { } change)
                Console.WriteLine($"{"",20}→ {change}");
        }

        Console.WriteLine();
        Console.WriteLine("sockets this kernel makes");
        foreach (var (name, error) in SocketMatrix.All())
            Console.WriteLine($"{(error is null ? Mark(Verdict.Ok) : "–   ")}  {name,-24}"
                + (error is null ? "supported" : SocketMatrix.Describe(error)));
        foreach (var (name, reason) in SocketMatrix.NotAsked)
            Console.WriteLine($"–     {name,-24}{reason}");
        var warnings = findings.Count(f => f.Verdict == Verdict.Warn);
        Console.WriteLine();
        Console.WriteLine(warnings == 0 ? "nothing stands in a server's way here" : $"to mend, marked !: {warnings}");
    }

    private static string Mark(Verdict verdict) => verdict switch
    {
        Verdict.Ok => Paint("32", "ok  "),
        Verdict.Note => Paint("33", "note"),
        _ => Paint("31", "!   "),
    };

    private static string Paint(string colour, string text) =>
        Console.IsOutputRedirected || Environment.GetEnvironmentVariable("NO_COLOR") is { Length: > 0 }
            ? text
            : $"\e[{colour}m{text}\e[0m";

    private static void PrintJson()
    {
        foreach (var finding in Findings())
            JsonLine.Write("finding", json =>
            {
                json.WriteString("name", finding.Name);
                json.WriteString("value", finding.Value);
                json.WriteString("verdict", finding.Verdict.ToString().ToLowerInvariant());
                json.WriteString("meaning", finding.Meaning);
                if (finding.Change is { } change)
                    json.WriteString("change", change);
            });
        foreach (var (name, error) in SocketMatrix.All())
            JsonLine.Write("socket", json =>
            {
                json.WriteString("name", name);
                json.WriteBoolean("supported", error is null);
                if (error is not null)
                    json.WriteString("error", SocketMatrix.Describe(error));
            });
        foreach (var (name, reason) in SocketMatrix.NotAsked)
            JsonLine.Write("socket", json =>
            {
                json.WriteString("name", name);
                json.WriteBoolean("supported", false);
                json.WriteString("error", reason);
            });
    }
}
