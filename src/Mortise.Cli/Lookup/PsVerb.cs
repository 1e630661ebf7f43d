using System.CommandLine;

namespace Mortise.Cli.Lookup;

/// <summary>`mortise ps --port P`: which process owns a port.</summary>
internal static class PsVerb
{
    public static Command Build()
    {
        var port = new Option<int>("--port") { Description = "the port, 1 to 65535", Required = true };
        port.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 1 or > 65535)
                result.AddError("a port is 1 to 65535");
        });
        var json = new Option<bool>("--json") { Description = "NDJSON on stdout" };
        var command = new Command("ps", "Who owns a port: mortise ps --port 7007") { port, json };
        command.SetAction(parsed => Tell(parsed.GetValue(port), parsed.GetValue(json)));
        return command;
    }

    private static int Tell(int port, bool json)
    {
        if (!OperatingSystem.IsLinux())
            throw new UnsupportedException("ps", $":{port}", "only Linux tells who owns a port in /proc",
                "use `netstat -ano` on Windows, `lsof -i` on macOS");
        var found = false;
        foreach (var kind in (EndpointKind[])[EndpointKind.Tcp, EndpointKind.Udp])
        {
            var scheme = kind == EndpointKind.Tcp ? "tcp" : "udp";
            if (PortHolder.Of($"{scheme}://*:{port}") is not { } holder)
                continue;
            found = true;
            if (json)
                JsonLine.Write("holder", w =>
                {
                    w.WriteString("endpoint", $"{scheme}://*:{port}");
                    w.WriteString("holder", holder.ToString());
                    if (holder.ProcessId is not { } pid)
                        return;
                    w.WriteNumber("pid", pid);
                    w.WriteString("name", holder.ProcessName);
                });
            else
                Console.WriteLine($"{scheme} {port} {holder}");
        }

        if (!found)
            Console.Error.WriteLine($"nobody holds port {port}");
        return found ? ExitCodes.Ok : ExitCodes.NotMet;
    }
}
