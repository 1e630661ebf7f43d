using System.CommandLine;

namespace Mortise.Cli.Talk;

/// <summary>`mortise connect`: standard input to a server, and what it answers to standard output.</summary>
internal static class ConnectVerb
{
    public static Command Build()
    {
        var to = new Argument<string>("ENDPOINT") { Description = "tcp://host:port, :port (this machine), unix:/path, unix:@name" };
        var explain = new Option<bool>("--explain") { Description = "on failure also what the kernel did" };
        var talk = new TalkOptions();
        var dial = new Dial();
        var command = new Command("connect", """
            Talk to a server: stdin goes to it, what it says comes to stdout.

              printf hi | mortise connect :16555
              mortise connect :9003 --frame len:4 --send hello
              mortise connect :10000 --send 'hi {n}\n' --every 1s --count 3
              mortise connect :9003 --retry 10            # started before the server
              mortise connect :7007 --send ping --expect pong --timeout 2s
            """) { to, explain };
        talk.AddTo(command);
        dial.AddTo(command);
        command.SetAction((parsed, cancellationToken) => RunAsync(parsed, Endpoint.Parse(parsed.GetValue(to)!),
            parsed.GetValue(explain), talk, dial, cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed, Endpoint endpoint, bool explain, TalkOptions talk,
        Dial dial, CancellationToken cancellationToken)
    {
        var plan = talk.PlanOf(parsed) with { ResetAtEnd = dial.Linger(parsed) == 0 };
        var outgoing = talk.OutgoingOf(parsed);
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
            DialReport.Failed(endpoint, e, explain);
            return ExitCodes.Of(e);
        }

        await using (connection)
            return await TalkAsync(parsed, talk, connection, outgoing, plan, cancellationToken);
    }

    /// <summary>Everything after the connection stands; listen uses it too.</summary>
    public static async Task<int> TalkAsync(ParseResult parsed, TalkOptions talk, Connection connection,
        Outgoing outgoing, ExchangePlan plan, CancellationToken cancellationToken)
    {
        var output = talk.OutputOf(parsed, connection.Id);
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

        if (!output.Unmet)
            return 0;
        Console.Error.WriteLine($"expect: {connection.RemoteEndpoint.Authority} sent nothing that matches "
            + parsed.GetValue(talk.Expect));
        return 1;
    }
}
