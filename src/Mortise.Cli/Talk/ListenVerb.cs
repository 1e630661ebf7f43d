using System.CommandLine;

namespace Mortise.Cli.Talk;

/// <summary>`mortise listen`: takes one connection (or with --keep any number) and shows what arrives.</summary>
internal static class ListenVerb
{
    private static readonly Argument<string> At = new("ENDPOINT")
    {
        Description = ":9003 (this machine only), tcp://*:9003 (all addresses), port 0 (the kernel picks), unix:, udp://",
    };

    private static readonly Option<bool> Keep = new("--keep", "-k") { Description = "take connections until stopped" };
    private static readonly Option<string?> ReadyFile = new("--ready-file")
    {
        Description = "write the endpoint, with its real port, to this file once it listens",
        HelpName = "FILE",
    };

    private static readonly Option<int> Backlog = new("--backlog")
    {
        Description = "connections the kernel may keep waiting",
        DefaultValueFactory = _ => 512,
    };

    private static readonly TalkOptions Talk = new();

    public static Command Build()
    {
        var command = new Command("listen", """
            Take one connection: what arrives comes to stdout, stdin goes back.

              mortise listen :9003
              mortise listen tcp://127.0.0.1:0 --json        # the first event names the port
              mortise listen udp://:5353 --hex
            """) { At, Keep, ReadyFile, Backlog };
        Talk.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var endpoint = Endpoint.Parse(parsed.GetValue(At)!);
        try
        {
            if (endpoint.Kind is EndpointKind.Udp or EndpointKind.UnixDatagram)
                return await DatagramsAsync(parsed, endpoint, cancellationToken);
            using var listener = SocketServer.Listen(endpoint, new TransportOptions { Backlog = parsed.GetValue(Backlog) });
            Announce(parsed, listener.Endpoint, $" (backlog {listener.Backlog})");
            foreach (var note in listener.Notes)
                Console.Error.WriteLine(note);
            return await ServeAsync(parsed, listener, cancellationToken);
        }
        catch (OperationCanceledException) when (parsed.GetValue(Keep))
        {
            return 0; // a signal is how this is meant to end
        }
        finally
        {
            if (parsed.GetValue(ReadyFile) is { } file)
                File.Delete(file);
        }
    }

    private static async Task<int> ServeAsync(ParseResult parsed, Listener listener, CancellationToken cancellationToken)
    {
        if (!parsed.GetValue(Keep))
        {
            await using var one = await listener.AcceptAsync(cancellationToken);
            listener.Dispose();
            Accepted(parsed, one);
            return await ConnectVerb.TalkAsync(parsed, Talk, one, Talk.OutgoingOf(parsed), Talk.PlanOf(parsed),
                cancellationToken);
        }

        while (true)
        {
            var connection = await listener.AcceptAsync(cancellationToken);
            Accepted(parsed, connection);
            _ = KeepAsync(parsed, connection, cancellationToken);
        }
    }

    /// <summary>
    /// One of many: its end is its own affair. Standard input cannot be shared out, so only --send answers.
    /// </summary>
    private static async Task KeepAsync(ParseResult parsed, Connection connection, CancellationToken cancellationToken)
    {
        var outgoing = parsed.GetValue(Talk.Send) is null ? new Outgoing { Texts = [] } : Talk.OutgoingOf(parsed);
        var plan = Talk.PlanOf(parsed) with { HalfClose = false };
        try
        {
            await using (connection)
                await ConnectVerb.TalkAsync(parsed, Talk, connection, outgoing, plan, cancellationToken);
        }
        catch (MortiseException e)
        {
            Console.Error.WriteLine($"#{connection.Id} {e.Message}");
        }
        catch (OperationCanceledException)
        {
            // The whole command is ending.
        }
    }

    private static async Task<int> DatagramsAsync(ParseResult parsed, Endpoint endpoint, CancellationToken cancellationToken)
    {
        using var socket = DatagramSocket.Bind(endpoint);
        Announce(parsed, socket.LocalEndpoint, "");
        var output = Talk.OutputOf(parsed, 0);
        var buffer = new byte[64 * 1024];
        do
        {
            var datagram = await socket.ReceiveAsync(buffer, cancellationToken);
            if (Talk.IsChatty(parsed))
                Console.Error.WriteLine($"{datagram.From.Authority} sent {datagram.Length} B"
                    + (datagram.Truncated ? ", more than fits: the rest is lost" : ""));
            await output.ReceivedAsync(new(buffer.AsMemory(0, datagram.Length)), whole: true);
            if (parsed.GetValue(Talk.Send) is { } reply && datagram.From.Host.Length > 0)
                await socket.SendToAsync(TextValues.Unescape(reply), datagram.From, cancellationToken);
        }
        while (parsed.GetValue(Keep));
        return 0;
    }

    private static void Announce(ParseResult parsed, Endpoint endpoint, string more)
    {
        if (parsed.GetValue(ReadyFile) is { } file)
        {
            File.WriteAllText(file + ".new", endpoint + "\n");
            File.Move(file + ".new", file, overwrite: true);
        }

        if (Talk.IsJson(parsed))
            JsonLine.Write("listening", json => json.WriteString("endpoint", endpoint.Authority));
        else
            Console.Error.WriteLine($"listening {endpoint}{more}");
    }

    private static void Accepted(ParseResult parsed, Connection connection)
    {
        if (Talk.IsJson(parsed))
            JsonLine.Write("accepted", json =>
            {
                json.WriteNumber("id", connection.Id);
                json.WriteString("local", connection.LocalEndpoint.Authority);
                json.WriteString("remote", connection.RemoteEndpoint.Authority);
            });
        else
            Console.Error.WriteLine($"#{connection.Id} {connection.RemoteEndpoint.Authority} connected");
    }
}
