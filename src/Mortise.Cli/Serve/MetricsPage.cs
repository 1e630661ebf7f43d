using System.Text;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>
/// <c>--metrics</c>: what the server counts, over HTTP. It accepts by hand and is no server of its own, so that those
/// who watch are not counted among the watched.
/// </summary>
internal sealed class MetricsPage : IAsyncDisposable
{
    private const int AtOnceMax = 16;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Listener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _places = new(AtOnceMax);
    private readonly Task _accepting;

    private MetricsPage(Listener listener)
    {
        _listener = listener;
        _accepting = AcceptAsync();
    }

    /// <summary>Where it listens, with the real port.</summary>
    public Endpoint Endpoint => _listener.Endpoint;

    /// <summary>Null where nobody asked for it.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static MetricsPage? Start(Endpoint? endpoint) =>
        endpoint is null ? null : new MetricsPage(SocketServer.Listen(endpoint));

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _accepting;
        _listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                await _places.WaitAsync(_stop.Token);
                _ = AnswerAsync(await _listener.AcceptAsync(_stop.Token));
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (MortiseException)
            {
                // Out of descriptors, or a client gone: the server's own metrics tell it to those who come later.
                _places.Release();
                await Task.Delay(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    private async Task AnswerAsync(Connection connection)
    {
        using var expired = new CancellationTokenSource(Patience);
        using var ending = expired.Token.Register(() => connection.Abort(CloseReason.Idle));
        try
        {
            if (await HttpRequest.ReadAsync(connection) is { } request)
                await AnswerAsync(connection, request);
            await connection.CloseAsync(CloseReason.Local, Patience, linger: TimeSpan.FromSeconds(1));
        }
        catch (Exception e) when (e is ConnectionException or OperationCanceledException)
        {
            // Whoever asked has gone; nobody is left to tell.
        }
        finally
        {
            connection.Abort();
            _places.Release();
        }
    }

    private static ValueTask AnswerAsync(Connection connection, HttpRequest request)
    {
        var (status, type, body) = request switch
        {
            { Refusal: { } refusal } => (refusal, HttpRequest.PlainText, refusal + "\n"),
            { Target: "/metrics" } => ("200 OK", "text/plain; version=0.0.4; charset=utf-8",
                MortiseTelemetry.ToPrometheus()),
            { Target: "/metrics.json" } => ("200 OK", "application/json", MortiseTelemetry.ToJson() + "\n"),
            _ => ("404 Not Found", HttpRequest.PlainText, "see /metrics and /metrics.json\n"),
        };
        return request.AnswerAsync(connection, status, type, Encoding.UTF8.GetBytes(body));
    }
}
