using System.Globalization;
using System.Text;

namespace Mortise.Cli.Talk.Playing;

/// <summary>
/// `mortise play --room`: arrow keys on a terminal, words from stdin elsewhere. When the connection breaks it comes
/// back with its token, and without one or too late it joins anew.
/// </summary>
internal sealed class GameTalk(Endpoint endpoint, Framing framing, string endFlag, string room, string name)
{
    private static readonly bool IsTerminal = !Console.IsInputRedirected && !Console.IsOutputRedirected;

    private readonly WorldView _view = new(name);
    private readonly TaskCompletionSource _over = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile string? _token;
    private volatile bool _isLeaving;

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        await using var client = SocketClient.Create(endpoint, framing.Utf8(), o =>
        {
            o.Reconnect = Backoff.Exponential(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(3));
            o.WhileDown = WhileDown.Fail;
            o.DrainTimeout = TimeSpan.FromSeconds(2);
            o.OnConnected = EnterAsync;
            o.OnMessage = (_, line) => Hear(line);
            o.OnStateChanged = (_, change) => Tell(change);
        });
        try
        {
            var playing = IsTerminal ? KeysAsync(client) : WordsAsync(client);
            await Task.WhenAny(playing, _over.Task).WaitAsync(cancellationToken);
            _isLeaving = true;
            await SendAsync(client, endFlag);
            await _over.Task.WaitAsync(TimeSpan.FromSeconds(2), cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // Ctrl+C, or a server that does not answer: disposing closes in order.
        }
        finally
        {
            _isLeaving = true;
            _view.Close();
        }
    }

    private async ValueTask EnterAsync(Session<string> session, CancellationToken cancellationToken)
    {
        if (_token is { } token && (await AskAsync($"/resume {token}")).StartsWith("joined", StringComparison.Ordinal))
            return;
        var joined = await AskAsync($"/join {room} {name}");
        if (joined.Split(' ').FirstOrDefault(w => w.StartsWith("token=", StringComparison.Ordinal)) is { } given)
            _token = given["token=".Length..];
        else
            throw new InvalidSettingException("play", $"{room} {name}", joined, "choose another --room or --name");

        async Task<string> AskAsync(string command)
        {
            await session.SendAsync(command, cancellationToken);
            string line;
            do
                line = await session.ReceiveAsync(cancellationToken);
            while (line.StartsWith("state", StringComparison.Ordinal)); // a tick may come before the answer
            Show(line);
            return line;
        }
    }

    private ValueTask Hear(string line)
    {
        if (line == endFlag && _isLeaving)
            _over.TrySetResult();
        else
            Show(line);
        return default;
    }

    private void Show(string line)
    {
        line = TerminalText.Escape(line);
        if (!IsTerminal)
            Console.WriteLine(line);
        else if (line.StartsWith("state ", StringComparison.Ordinal))
            _view.Draw(line);
        else
            _view.Note(line);
    }

    private void Tell(ClientStateChange change)
    {
        if (_isLeaving || change.State is not (ClientState.Waiting or ClientState.Connected))
            return;
        var text = change.State == ClientState.Connected ? $"connected to {change.Endpoint.Authority}"
            : string.Create(CultureInfo.InvariantCulture, $"{(change.Error as MortiseException)?.Reason ??
                "the server has closed the connection"}; again in {change.Pause.TotalSeconds:0.0} s");
        text = TerminalText.Escape(text); // a refusal is the server's own words
        if (IsTerminal)
            _view.Note(text);
        else
            Console.Error.WriteLine(text);
    }

    private async Task KeysAsync(SocketClient<string> client)
    {
        _view.Open();
        while (true)
        {
            var key = await Task.Run(() => Console.ReadKey(intercept: true));
            var word = key.Key switch
            {
                ConsoleKey.UpArrow or ConsoleKey.W or ConsoleKey.K => "up",
                ConsoleKey.DownArrow or ConsoleKey.S or ConsoleKey.J => "down",
                ConsoleKey.LeftArrow or ConsoleKey.A or ConsoleKey.H => "left",
                ConsoleKey.RightArrow or ConsoleKey.D or ConsoleKey.L => "right",
                ConsoleKey.Q or ConsoleKey.Escape => endFlag,
                _ => "",
            };
            if (word == endFlag)
                return;
            if (word.Length > 0)
                await SendAsync(client, word);
        }
    }

    private async Task WordsAsync(SocketClient<string> client)
    {
        while (await Task.Run(Console.In.ReadLine) is { } line && line != endFlag)
            await SendAsync(client, line);
    }

    /// <summary>A step that cannot be sent now is not worth sending later.</summary>
    private static async Task SendAsync(SocketClient<string> client, string word)
    {
        try
        {
            await client.SendAsync(word);
        }
        catch (UndeliveredException)
        {
            // The view says that there is no connection.
        }
    }
}
