using System.Globalization;

namespace Mortise.Testing;

/// <summary>What a test waited for did not come. It says what came instead, and what the server has logged.</summary>
public sealed class UnmetExpectationException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A client of a <see cref="TestServer{T}"/>. No wait of it lasts for ever: <see cref="Patience"/>.</summary>
public sealed class TestClient<T> : IAsyncDisposable
{
    private readonly TestLog _log;

    internal TestClient(Session<T> session, TestLog log) => (Session, _log) = (session, log);

    /// <summary>The session itself: requests, messages as a stream, the connection and its bytes.</summary>
    public Session<T> Session { get; }

    /// <summary>The most real time that a wait may take, whatever clock the server has; 10 s.</summary>
    public TimeSpan Patience { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Sends one message.</summary>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public Task SendAsync(T message) => WithinPatience("to send", token => Session.SendAsync(message, token));

    /// <summary>Sends bytes as they are: a torn frame, a header that lies, another protocol.</summary>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public Task SendBytesAsync(ReadOnlyMemory<byte> bytes) =>
        WithinPatience("to send", token => Session.Connection.SendAsync(bytes, token));

    /// <summary>The next message. One that borrows its memory is valid until the next call.</summary>
    /// <exception cref="UnmetExpectationException">None came: in time, or because the connection ended.</exception>
    public async Task<T> ReceiveAsync()
    {
        T message = default!;
        try
        {
            await WithinPatience("for a message",
                async token => message = await Session.ReceiveAsync(token).ConfigureAwait(false)).ConfigureAwait(false);
            return message;
        }
        catch (Exception e) when (e is FrameException or ConnectionException)
        {
            throw Unmet($"no message came: {e.Message}", e);
        }
    }

    /// <summary>Waits until the server has ended its direction in order, with no message before that.</summary>
    /// <exception cref="UnmetExpectationException">A message came, or a reset, or nothing in time.</exception>
    public async Task ReceiveEndAsync()
    {
        try
        {
            await WithinPatience("for the end", async token =>
            {
                await foreach (var message in Session.Messages.WithCancellation(token).ConfigureAwait(false))
                    throw Unmet($"a message came, not the end: {message}", null);
            }).ConfigureAwait(false);
        }
        catch (Exception e) when (e is FrameException or ConnectionException)
        {
            throw Unmet($"the end was not in order: {e.Message}", e);
        }
    }

    /// <summary>Ends this client's direction (half-close): the server reads an end, and may still answer.</summary>
    public Task FinishAsync() => WithinPatience("to finish",
        token => new(Session.Connection.ShutdownSendAsync().AsTask().WaitAsync(token)));

    /// <summary>Resets the connection, as a client that was killed.</summary>
    public void Abort() => Session.Abort();

    /// <summary>Ends the connection in order.</summary>
    public ValueTask DisposeAsync() => Session.DisposeAsync();

    private async Task WithinPatience(string what, Func<CancellationToken, ValueTask> wait)
    {
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            await wait(limit.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException e) when (limit.IsCancellationRequested)
        {
            throw Unmet(string.Create(CultureInfo.InvariantCulture,
                $"waited {what} for {Patience.TotalSeconds:0.###} s"), e);
        }
    }

    private UnmetExpectationException Unmet(string what, Exception? inner)
    {
        var lines = _log.Lines;
        return new(lines.Count == 0 ? $"{what}; the server has logged nothing"
            : $"{what}; the server has logged:{Environment.NewLine}{string.Join(Environment.NewLine, lines)}", inner);
    }
}
