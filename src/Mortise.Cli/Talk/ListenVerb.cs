using System.CommandLine;
using Mortise.Cli.Serve;

namespace Mortise.Cli.Talk;

/// <summary>`mortise listen`: takes one connection (or with --keep any number) and shows what arrives.</summary>
internal static class ListenVerb
{
    private static readonly Argument<string> At = new("ENDPOINT")
    {
        Description = ":9003 (this machine only), tcp://*:9003 (all addresses), port 0 (the kernel picks), "
            + "unix:, udp://",
    };

    private static readonly Option<bool> Keep = new("--keep", "-k") { Description = "take connections until stopped" };
    private static readonly Option<string?> Ready = new("--ready-file")
    {
        Description = "write the endpoint, with its real port, to this file once it listens",
        HelpName = "FILE",
    };

    private static readonly Option<int> Backlog = new("--backlog")
    {
        Description = "connections the kernel may keep waiting",
        DefaultValueFactory = _ => 512,
    };

    private static readonly Option<string[]> Allow = ServeFlags.Allow(), Deny = ServeFlags.Deny();
    private static readonly Option<string?> ReceiveBuffer = ServeFlags.ReceiveBuffer();
    private static readonly TalkOptions Talk = new();

    public static Command Build()
    {
        var command = new Command("listen", """
            Take one connection: what arrives comes to stdout, stdin goes back.

              mortise listen :9003
              mortise listen tcp://127.0.0.1:0 --json        # the first event names the port
              mortise listen udp://:5353 --hex
            """) { At, Keep, Ready, Backlog, ReceiveBuffer, Allow, Deny };
        Talk.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var endpoint = Endpoint.Parse(parsed.GetValue(At)!);
        var (plan, outgoing) = (Talk.PlanOf(parsed), Talk.OutgoingOf(parsed));
        var transport = new TransportOptions { Backlog = parsed.GetValue(Backlog) };
        if (parsed.GetValue(ReceiveBuffer) is { } size)
            transport.ReceiveBufferBytes = TextValues.Bytes32(size, ReceiveBuffer.Name);
        var admission = new ServerOptions();
        ServeFlags.Lists(parsed, Allow, Deny)(admission);
        try
        {
            if (endpoint.Kind is EndpointKind.Udp or EndpointKind.UnixDatagram)
                return await DatagramsAsync(parsed, endpoint, transport, admission.Admits, cancellationToken);
            using var listener = SocketServer.Listen(endpoint, transport);
            using var ready = Announce(parsed, listener.Endpoint, $" (backlog {listener.Backlog})");
            foreach (var note in listener.Notes)
                Console.Error.WriteLine(note);
            return await ServeAsync(parsed, listener, plan, outgoing, admission.Admits, cancellationToken);
        }
        catch (OperationCanceledException) when (parsed.GetValue(Keep))
        {
            return 0; // a signal is how this is meant to end
        }
    }

    private static async Task<int> ServeAsync(ParseResult parsed, Listener listener, ExchangePlan plan,
        Outgoing outgoing, Func<Endpoint, bool> admits, CancellationToken cancellationToken)
    {
        if (!parsed.GetValue(Keep))
        {
            await using var one = await AcceptAsync(listener, admits, cancellationToken);
            listener.Dispose();
            Accepted(parsed, one);
            return await ConnectVerb.TalkAsync(parsed, Talk, one, outgoing, plan, cancellationToken);
        }

        // Standard input cannot be shared out among many: only --send answers.
        var answers = outgoing.Texts is null ? outgoing with { Texts = [] } : outgoing;
        var unheard = new TaskCompletionSource();   // fails when nobody reads our output any more
        while (true)
        {
            var accepting = AcceptAsync(listener, admits, cancellationToken);
            await await Task.WhenAny(accepting, unheard.Task);
            var connection = await accepting;
            Accepted(parsed, connection);
            _ = KeepAsync(parsed, connection, plan with { HalfClose = false }, answers, unheard, cancellationToken);
        }
    }

    /// <summary>The next who may come in; the others are reset.</summary>
    private static async Task<Connection> AcceptAsync(Listener listener, Func<Endpoint, bool> admits,
        CancellationToken cancellationToken)
    {
        while (true)
        {
            var connection = await listener.AcceptAsync(cancellationToken);
            if (admits(connection.RemoteEndpoint))
                return connection;
            Console.Error.WriteLine($"#{connection.Id} {connection.RemoteEndpoint.Authority} is denied");
            connection.Abort();
        }
    }

    /// <summary>One of many: its end is its own affair.</summary>
    private static async Task KeepAsync(ParseResult parsed, Connection connection, ExchangePlan plan,
        Outgoing outgoing, TaskCompletionSource unheard, CancellationToken cancellationToken)
    {
        try
        {
            await using (connection)
                await ConnectVerb.TalkAsync(parsed, Talk, connection, outgoing, plan, cancellationToken);
        }
        catch (MortiseException e)
        {
            Console.Error.WriteLine(TerminalText.Escape($"#{connection.Id} {e.Message}"));
        }
        catch (ClosedOutputException e)
        {
            unheard.TrySetException(e);
        }
        catch (OperationCanceledException)
        {
            // The whole command is ending.
        }
    }

    private static async Task<int> DatagramsAsync(ParseResult parsed, Endpoint endpoint, TransportOptions transport,
        Func<Endpoint, bool> admits, CancellationToken cancellationToken)
    {
        using var socket = DatagramSocket.Bind(endpoint, transport);
        using var ready = Announce(parsed, socket.LocalEndpoint,
            $" (datagrams, rcvbuf {socket.GetSocketBuffers().Receive} B)");
        foreach (var note in socket.Notes)
            Console.Error.WriteLine(note);
        var output = Talk.OutputOf(parsed, Talk.PlanOf(parsed));
        var buffer = new byte[64 * 1024];
        do
        {
            ReceivedDatagram datagram;
            do
                datagram = await socket.ReceiveAsync(buffer, cancellationToken);
            while (!admits(datagram.From));
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

    private static ReadyFile Announce(ParseResult parsed, Endpoint endpoint, string more)
    {
        var ready = new ReadyFile("listen", parsed.GetValue(Ready), [endpoint]);
        if (Talk.IsJson(parsed))
            JsonLine.Write("listening", json => json.WriteString("endpoint", endpoint.Authority));
        else
            Console.Error.WriteLine($"listening {endpoint}{more}");
        return ready;
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
            Console.Error.WriteLine($"#{connection.Id} {connection.RemoteEndpoint.Authority} connected"
                + (parsed.GetValue(Talk.Verbose) ? ServeLog.BuffersInForce(connection) : ""));
    }
}
