using System.Globalization;
using System.Text;

namespace Mortise.Cli.Talk.Playing;

/// <summary>
/// `mortise connect --chat`: a person in a chat of lines. When the connection ends it comes back, and says its name and
/// room again. What is typed on a terminal meanwhile is not sent, and that is said; what comes from a pipe waits.
/// </summary>
internal sealed class ChatTalk(Endpoint endpoint, Screen screen)
{
    private const int LineBytesMax = 64 * 1024;

    private readonly TaskCompletionSource _left = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile string? _wish;
    private volatile string? _name;
    private volatile string? _room;
    private volatile bool _isLeaving;

    /// <summary>Until the person leaves, or presses Ctrl+C.</summary>
    public async Task RunAsync(string? name, CancellationToken cancellationToken)
    {
        (_wish, _name) = (name, name);
        await using var client = SocketClient.Create(endpoint, Codec.Lines(LineBytesMax, Encoding.UTF8), o =>
        {
            o.Reconnect = Backoff.Exponential(TimeSpan.FromMilliseconds(200), TimeSpan.FromSeconds(5));
            o.WhileDown = screen.IsTerminal ? WhileDown.Fail : WhileDown.Wait;
            o.DrainTimeout = TimeSpan.FromSeconds(2);
            o.OnConnected = ReturnAsync;
            o.OnMessage = (_, line) => Hear(line);
            o.OnStateChanged = (_, change) => Tell(change);
        });
        try
        {
            await Task.WhenAny(TypeAsync(client), _left.Task).WaitAsync(cancellationToken);
            await _left.Task.WaitAsync(TimeSpan.FromSeconds(2), cancellationToken);
        }
        catch (Exception e) when (e is TimeoutException or OperationCanceledException)
        {
            // Ctrl+C, or a server that does not say goodbye: disposing closes in order.
        }

        _isLeaving = true;
        screen.Close();
    }

    /// <summary>Before anything else that is typed.</summary>
    private async ValueTask ReturnAsync(Session<string> session, CancellationToken cancellationToken)
    {
        if (_name is { } name)
            await session.SendAsync("/nick " + name, cancellationToken);
        if (_room is { } room)
            await session.SendAsync("/join " + room, cancellationToken);
    }

    private ValueTask Hear(string line)
    {
        screen.Show(line);
        if (_wish is { } wish && line.StartsWith("* ", StringComparison.Ordinal)
            && line.EndsWith(" is now " + wish, StringComparison.Ordinal))
            _name = wish;
        if (line.StartsWith("* you joined ", StringComparison.Ordinal))
            _room = line.Split(' ')[3] is var room && room == "lobby" ? null : room;
        return default;
    }

    private void Tell(ClientStateChange change)
    {
        if (_isLeaving && change.State is ClientState.Waiting or ClientState.Connecting or ClientState.Closed)
            _left.TrySetResult();
        else if (change.State == ClientState.Connected)
            screen.Note($"* connected to {change.Endpoint.Authority}");
        else if (change.State == ClientState.Waiting)
            screen.Note(string.Create(CultureInfo.InvariantCulture, $"* {TerminalText.Escape(Reason(change.Error))}; "
                + $"again in {change.Pause.TotalSeconds:0.0} s (Ctrl+C ends)"));
    }

    private static string Reason(Exception? error) => error switch
    {
        ConnectException e => $"cannot connect ({e.Symbol})",
        ConnectionException e => $"the connection ended: {e.Reason}",
        MortiseException e => e.Reason,
        null => "the server has closed the connection",
        _ => error.Message,
    };

    private async Task TypeAsync(SocketClient<string> client)
    {
        // A read of the terminal cannot be cancelled: at the end it is left behind, with the process.
        while (await Task.Run(screen.ReadLine) is { } line)
        {
            var words = line.Trim().Split(' ', 2, StringSplitOptions.TrimEntries);
            if (words is ["/nick", var name])
                _wish = name;
            _isLeaving = words is ["/quit" or "/exit" or "/bye"];
            if (!await SayAsync(client, line) || _isLeaving)
                break;
        }

        if (!_isLeaving)
        {
            _isLeaving = true;
            await SayAsync(client, "/quit"); // the input has ended
        }
    }

    /// <summary>False when there is nothing to go on with.</summary>
    private async Task<bool> SayAsync(SocketClient<string> client, string line)
    {
        try
        {
            await client.SendAsync(line);
        }
        catch (MortiseException e) when (_isLeaving)
        {
            _ = e; // nobody is there whom one could leave
            _left.TrySetResult();
        }
        catch (UndeliveredException e)
        {
            screen.Note(e.Outcome == SendOutcome.NeverSent ? "* not connected: this was not said"
                : "* the connection ended meanwhile: nobody knows whether this was said");
        }
        catch (FrameException e)
        {
            screen.Note(TerminalText.Escape($"* not said: {e.Reason}"));
        }

        return true;
    }
}
