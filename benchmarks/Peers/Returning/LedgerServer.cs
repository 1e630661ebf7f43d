using System.Text;

namespace Mortise.Peers.Returning;

/// <summary>
/// A server of lines that is going to be killed. What it has read it writes to a file before it does anything else, in
/// one system call, so that the file knows it whenever the end comes. A connection must log in before it says anything.
/// </summary>
internal sealed class LedgerServer(string path) : IDisposable
{
    public const string Login = "login", NotLoggedIn = "not-logged-in";

    private readonly Lock _gate = new();
    private readonly FileStream _ledger = new(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);

    /// <summary>Says that it listens, and serves until it is killed.</summary>
    public static async Task<int> RunAsync(string endpoint, string path)
    {
        using var ledger = new LedgerServer(path);
        await using var server = SocketServer.Start(endpoint, Codec.Lines(), ledger.HandleAsync);
        Console.WriteLine("listening");
        await Task.Delay(Timeout.Infinite);
        return 0;
    }

    public void Dispose() => _ledger.Dispose();

    private ValueTask HandleAsync(Session<string> session, string line)
    {
        if (line == Login)
            session.Items[Login] = true;
        else if (!session.Items.ContainsKey(Login))
            Write($"{NotLoggedIn} {line}");
        Write(line);
        return line == Login || line.StartsWith(Ledger.Asked, StringComparison.Ordinal)
            ? session.SendAsync($"re {line}") : default;
    }

    private void Write(string line)
    {
        lock (_gate)
            _ledger.Write(Encoding.UTF8.GetBytes(line + "\n"));
    }
}
