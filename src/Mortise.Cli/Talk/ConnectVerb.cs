using System.CommandLine;
using Mortise.Cli.Talk.Playing;

namespace Mortise.Cli.Talk;

/// <summary>`mortise connect`: standard input to a server, and what it answers to standard output.</summary>
internal static class ConnectVerb
{
    public static Command Build()
    {
        var to = new Argument<string>("ENDPOINT")
        {
            Description = "tcp://host:port, tls://host:port, :port (this machine), unix:/path, unix:@name",
        };
        var talk = new TalkOptions();
        var dial = new Dial();
        var command = new Command("connect", """
            Talk to a server: stdin goes to it, what it says comes to stdout.

              printf hi | mortise connect :16555
              mortise connect :9003 --frame len:4 --send hello
              mortise connect :10000 --send 'hi {n}\n' --every 1s --count 3
              mortise connect :9003 --retry 10            # started before the server
              mortise connect :7007 --send ping --expect pong --timeout 2s
              mortise connect :9000 --chat                # a person in `serve chat`
            """) { to };
        var chat = new Option<bool>("--chat")
        {
            Description = "talk in `serve chat`: what comes stays above what you type; comes back after a break",
        };
        var nick = new Option<string?>("--nick") { Description = "with --chat: your name there", HelpName = "NAME" };
        command.Add(chat);
        command.Add(nick);
        talk.AddTo(command);
        dial.AddTo(command);
        command.SetAction((parsed, cancellationToken) => parsed.GetValue(chat)
            ? ChatAsync(Endpoint.Parse(parsed.GetValue(to)!), parsed.GetValue(nick), cancellationToken)
            : RunAsync(parsed, Endpoint.Parse(parsed.GetValue(to)!), talk,
            dial, talk.OutgoingOf(parsed), cancellationToken));
        return command;
    }

    private static async Task<int> ChatAsync(Endpoint endpoint, string? name, CancellationToken cancellationToken)
    {
        await new ChatTalk(endpoint, Screen.Open()).RunAsync(name, cancellationToken);
        return ExitCodes.Ok;
    }

    /// <summary>Connects and talks; send uses it too, where its endpoint is a stream.</summary>
    public static async Task<int> RunAsync(ParseResult parsed, Endpoint endpoint, TalkOptions talk, Dial dial,
        Outgoing outgoing, CancellationToken cancellationToken)
    {
        var plan = talk.PlanOf(parsed) with { ResetAtEnd = dial.Linger(parsed) == 0 };
        Connection connection;
        try
        {
            (connection, var took) = await dial.ConnectAsync(parsed, endpoint, plan.Timeout, cancellationToken);
            if (talk.IsJson(parsed))
                TalkEvents.Connected(connection, took);
            else if (talk.IsChatty(parsed))
                Console.Error.WriteLine(DialReport.Connected(connection, took));
        }
        catch (ConnectException e) when (!talk.IsJson(parsed))
        {
            DialReport.Failed(endpoint, e, dial.Explain(parsed), parsed.GetValue<string>("--lang")!);
            return ExitCodes.Of(e);
        }

        await using (connection)
            return await TalkAsync(parsed, talk, connection, outgoing, plan, cancellationToken);
    }

    /// <summary>Everything after the connection stands; listen uses it too.</summary>
    public static async Task<int> TalkAsync(ParseResult parsed, TalkOptions talk, Connection connection,
        Outgoing outgoing, ExchangePlan plan, CancellationToken cancellationToken)
    {
        var output = talk.OutputOf(parsed, plan, connection.Id);
        try
        {
            await new Exchange(connection, outgoing, output, plan).RunAsync(cancellationToken);
        }
        catch (ClosedOutputException)
        {
            connection.Abort();
            throw;
        }
        catch (TimedOutException) when (output.Unmet)
        {
            // Told below: what was asked for did not come, and that is the answer.
        }
        finally
        {
            if (talk.IsJson(parsed))
                TalkEvents.Closed(connection);
            else if (talk.IsChatty(parsed))
                Console.Error.WriteLine(DialReport.Closed(connection));
        }

        return talk.ExitOf(parsed, output, connection.RemoteEndpoint);
    }
}
