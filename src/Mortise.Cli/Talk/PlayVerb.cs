using System.CommandLine;
using Mortise.Cli.Talk.Playing;

namespace Mortise.Cli.Talk;

/// <summary>`mortise play`: the game client of the first tutorial; a word goes out, an answer comes back.</summary>
internal static class PlayVerb
{
    public static Command Build()
    {
        var at = new Argument<string>("ENDPOINT")
        {
            Description = "the game server",
            DefaultValueFactory = _ => ":9003",
        };
        var endFlag = new Option<string>("--end-flag")
        {
            Description = "the word that ends the game",
            DefaultValueFactory = _ => "end",
        };
        var frame = new Option<string>("--frame")
        {
            Description = "how words are framed; fixed:1024,pad=0 speaks with the tutorial's own server",
            DefaultValueFactory = _ => "line",
        };
        var timeout = new Option<string>("--timeout")
        {
            Description = "the longest wait for the connection and for an answer",
            DefaultValueFactory = _ => "10s",
        };
        var room = new Option<string?>("--room")
        {
            Description = "play in this room, with the arrow keys; comes back after a break",
            HelpName = "ROOM",
        };
        var name = new Option<string>("--name")
        {
            Description = "with --room: your name there",
            DefaultValueFactory = _ => $"p{Environment.ProcessId}",
        };
        var command = new Command("play", "Words from stdin to the game server, its answers back: mortise play :9003")
        {
            at, endFlag, frame, timeout, room, name,
        };
        command.SetAction((parsed, cancellationToken) => parsed.GetValue(room) is { } field
            ? RoomAsync(new GameTalk(Endpoint.Parse(parsed.GetValue(at)!), Framing.Parse(parsed.GetValue(frame)!),
                parsed.GetValue(endFlag)!, field, parsed.GetValue(name)!), cancellationToken)
            : RunAsync(Endpoint.Parse(parsed.GetValue(at)!),
            Framing.Parse(parsed.GetValue(frame)!), parsed.GetValue(endFlag)!,
            TextValues.Time(parsed.GetValue(timeout)!, timeout.Name), parsed.GetValue<string>("--lang")!,
            cancellationToken));
        return command;
    }

    private static async Task<int> RoomAsync(GameTalk talk, CancellationToken cancellationToken)
    {
        await talk.RunAsync(cancellationToken);
        return ExitCodes.Ok;
    }

    private static async Task<int> RunAsync(Endpoint endpoint, Framing framing, string endFlag, TimeSpan timeout,
        string language, CancellationToken cancellationToken)
    {
        Session<string> session;
        try
        {
            session = await SocketClient.ConnectAsync(endpoint, framing.Utf8(),
                options => options.ConnectTimeout = timeout, cancellationToken);
        }
        catch (ConnectException e)
        {
            DialReport.Failed(endpoint, e, explain: false, language);
            return ExitCodes.Of(e);
        }

        await using (session)
            await PlayAsync(session, endFlag, timeout, cancellationToken);
        return ExitCodes.Ok;
    }

    private static async Task PlayAsync(Session<string> session, string endFlag, TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        // A read of standard input cannot be cancelled: after Ctrl+C it is left behind, with the process.
        Task<string?> ReadLineAsync() => Task.Run(Console.In.ReadLine, CancellationToken.None);
        while (await ReadLineAsync().WaitAsync(cancellationToken) is { } line)
        {
            foreach (var word in line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            {
                await session.SendAsync(word, cancellationToken);
                Console.WriteLine("send data successful！");
                var answer = await AnswerAsync(session, timeout, cancellationToken);
                Console.WriteLine("recv data from server:" + TerminalText.Escape(answer));
                if (word == endFlag || answer == endFlag)
                    return;
            }
        }
    }

    private static async Task<string> AnswerAsync(Session<string> session, TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        using var late = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        late.CancelAfter(timeout);
        try
        {
            return await session.ReceiveAsync(late.Token);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new TimedOutException("recv", session.RemoteEndpoint.ToString(),
                FormattableString.Invariant($"no answer came within {timeout.TotalSeconds:0.###} s"));
        }
    }
}
