using System.CommandLine;

namespace Mortise.Cli.Talk;

/// <summary>`mortise play`: the game client of the first tutorial; a word goes out, an answer comes back.</summary>
internal static class PlayVerb
{
    public static Command Build()
    {
        var at = new Argument<string>("ENDPOINT") { Description = "the game server", DefaultValueFactory = _ => ":9003" };
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
            Description = "the longest wait for an answer",
            DefaultValueFactory = _ => "10s",
        };
        var command = new Command("play", "Words from stdin to the game server, its answers back: mortise play :9003")
        {
            at, endFlag, frame, timeout,
        };
        command.SetAction((parsed, cancellationToken) => RunAsync(Endpoint.Parse(parsed.GetValue(at)!),
            Framing.Parse(parsed.GetValue(frame)!), parsed.GetValue(endFlag)!,
            TextValues.Time(parsed.GetValue(timeout)!), cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(Endpoint endpoint, Framing framing, string endFlag, TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        await using var session = await SocketClient.ConnectAsync(endpoint, framing.Utf8(),
            cancellationToken: cancellationToken);
        while (await Console.In.ReadLineAsync(cancellationToken) is { } line)
        {
            foreach (var word in line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
            {
                await session.SendAsync(word, cancellationToken);
                Console.WriteLine("send data successful！");
                var answer = await AnswerAsync(session, timeout, cancellationToken);
                Console.WriteLine("recv data from server:" + TerminalText.Escape(answer));
                if (word == endFlag || answer == endFlag)
                    return 0;
            }
        }

        return 0;
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
