using System.CommandLine;

namespace Mortise.Cli.Talk;

/// <summary>`mortise send`: one message and out; a datagram, or on a stream the text and then the reply.</summary>
internal static class SendVerb
{
    private static readonly Argument<string> To = new("ENDPOINT")
    {
        Description = "udp://host:port, unixgram:/path, or a stream",
    };

    private static readonly Argument<string[]> Texts = new("TEXT")
    {
        Description = @"each is one datagram, on a stream they follow each other; "
            + @"\n \r \t \0 \\ \xNN are escapes, {n} counts from 1; '' is an empty datagram",
        Arity = ArgumentArity.ZeroOrMore,
    };

    private static readonly Option<int?> Size = new("--size")
    {
        Description = "send N bytes instead of a TEXT (UDP takes at most 65,507)",
        HelpName = "N",
    };

    private static readonly Option<string> Wait = new("--wait")
    {
        Description = "how long replies are waited for; as many replies as datagrams end it early",
        HelpName = "T",
        DefaultValueFactory = _ => "1s",
    };

    private static readonly TalkOptions Talk = new();
    private static readonly Dial Dial = new();

    public static Command Build()
    {
        var command = new Command("send", """
            Send one message and show the reply.

              mortise send udp://127.0.0.1:7007 hello
              mortise send unixgram:/run/x.sock 'a\0b' --wait 200ms
              mortise send udp://127.0.0.1:7007 'ping {n}' --count 3 --every 1s
            """) { To, Texts, Size, Wait };
        Talk.AddTo(command);
        Dial.AddTo(command);
        command.SetAction(RunAsync);
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, CancellationToken cancellationToken)
    {
        var endpoint = Endpoint.Parse(parsed.GetValue(To)!);
        var outgoing = Talk.OutgoingOf(parsed) with { Texts = Messages(parsed, endpoint) };
        if (endpoint.IsStream)
            return await ConnectVerb.RunAsync(parsed, endpoint, Talk, Dial, outgoing, cancellationToken);
        try
        {
            using var socket = await Dial.AimAsync(parsed, endpoint, cancellationToken);
            return await DatagramsAsync(parsed, socket, endpoint, outgoing, cancellationToken);
        }
        catch (ConnectException e) when (!Talk.IsJson(parsed))
        {
            DialReport.Failed(endpoint, e, Dial.Explain(parsed), parsed.GetValue<string>("--lang")!);
            return ExitCodes.Of(e);
        }
    }

    private static string[] Messages(ParseResult parsed, Endpoint endpoint)
    {
        string[] texts = [.. parsed.GetValue(Texts) ?? []];
        if (parsed.GetValue(Talk.Send) is { } text)
            texts = [.. texts, text];
        if (parsed.GetValue(Size) is { } size)
        {
            if (size < 0 || endpoint.Kind == EndpointKind.Udp && size > DatagramSocket.UdpBytesMax)
                throw new InvalidSettingException("send", $"--size {size}", FormattableString.Invariant(
                    $"a UDP datagram carries 0 to {DatagramSocket.UdpBytesMax:N0} bytes over IPv4"),
                    "65,535 less 20 bytes of IP header and 8 of UDP; send several, or use tcp://");
            texts = [.. texts, new string('x', size)];
        }

        return texts.Length > 0 ? texts : throw new InvalidSettingException("send", endpoint.ToString(),
            "there is nothing to send", "give a TEXT ('' is an empty datagram) or --size N");
    }

    /// <summary>
    /// The socket is connected, so that a refusal (ICMP port unreachable) comes back and is not swallowed.
    /// </summary>
    private static async Task<int> DatagramsAsync(ParseResult parsed, DatagramSocket socket, Endpoint endpoint,
        Outgoing outgoing, CancellationToken cancellationToken)
    {
        var output = Talk.OutputOf(parsed, Talk.PlanOf(parsed));
        using var over = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var replies = new Replies(socket, output);
        var receiving = replies.ReceiveAllAsync(over.Token);
        var sent = 0;
        await foreach (var datagram in outgoing.PiecesAsync(cancellationToken))
        {
            await socket.SendAsync(datagram, cancellationToken);
            output.Sent(datagram.Span, whole: true);
            sent++;
            if (receiving.IsFaulted)
                break;
        }

        if (Talk.IsChatty(parsed))
            Console.Error.WriteLine(
                $"sent {sent} datagram(s) {socket.LocalEndpoint.Authority} → {endpoint.Authority}");
        over.CancelAfter(Talk.TimeoutOf(parsed) ?? TextValues.Time(parsed.GetValue(Wait)!, Wait.Name));
        var done = output.Unmet ? output.Satisfied : replies.Enough(sent);
        if (await Task.WhenAny(receiving, done) == done)
            await over.CancelAsync();
        try
        {
            await receiving;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // The wait is over; whether replies were owed only --expect says.
        }

        return Talk.ExitOf(parsed, output, endpoint);
    }

    /// <summary>Shows what comes back while datagrams still go out, and knows when each has its reply.</summary>
    private sealed class Replies(DatagramSocket socket, PeerOutput output)
    {
        private readonly TaskCompletionSource _enough = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Lock _gate = new();
        private int _received;
        private int _wanted = int.MaxValue;

        /// <summary>Completes when so many replies have come.</summary>
        public Task Enough(int wanted)
        {
            lock (_gate)
                _wanted = wanted;
            Count(0);
            return _enough.Task;
        }

        public async Task ReceiveAllAsync(CancellationToken cancellationToken)
        {
            var buffer = new byte[64 * 1024];
            while (true)
            {
                var reply = await socket.ReceiveAsync(buffer, cancellationToken);
                await output.ReceivedAsync(new(buffer.AsMemory(0, reply.Length)), whole: true);
                Count(1);
            }
        }

        private void Count(int more)
        {
            lock (_gate)
            {
                _received += more;
                if (_received >= _wanted)
                    _enough.TrySetResult();
            }
        }
    }
}
