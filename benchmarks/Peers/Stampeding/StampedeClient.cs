namespace Mortise.Peers.Stampeding;

/// <summary>Connects, says some words, and goes, again and again; every end that it meets must be typed.</summary>
internal sealed class StampedeClient(string name, EngineKind engine, int seed, Endpoint[] places, StampedeWatch watch)
{
    private static readonly string[] Words =
        ["plain", "wait", "abort", "throw", "plain", "try", "plain", new('x', 20_000)];

    private static readonly TimeSpan ConnectMax = TimeSpan.FromSeconds(2);

    private readonly Random _random = new(seed);
    private volatile CancellationTokenSource? _wait;

    public async Task RunAsync(CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            try
            {
                await VisitAsync();
            }
            catch (Exception e) when (e is MortiseException or OperationCanceledException)
            {
                // ends are what this is about
            }
            catch (Exception e)
            {
                StampedeWatch.Surprise(e);
            }
        }

        watch.Leave(name);
    }

    /// <summary>Whatever it waits for.</summary>
    public void CancelWait()
    {
        try
        {
            _wait?.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // it has just come to its end
        }
    }

    /// <summary>Whether a line comes back.</summary>
    public static async Task<bool> IsServedAsync(Endpoint place, EngineKind engine)
    {
        using var limit = new CancellationTokenSource(ConnectMax);
        await using var client = await SocketClient.ConnectAsync(place, Codec.Lines(),
            o => o.Transport.Engine = engine, limit.Token);
        await client.SendAsync("still there", limit.Token);
        return await client.ReceiveAsync(limit.Token) == "still there";
    }

    private async Task VisitAsync()
    {
        watch.Beat(name, "connecting");
        using var connecting = new CancellationTokenSource(ConnectMax);
        _wait = connecting;
        await using var client = await SocketClient.ConnectAsync(places[_random.Next(places.Length)], Codec.Lines(),
            o => o.Transport.Engine = engine, connecting.Token);
        for (var i = _random.Next(20); i > 0; i--)
        {
            watch.Beat(name, "sending");
            using var brief = new CancellationTokenSource(_random.Next(1, 200));
            _wait = brief;
            await client.SendAsync(Words[_random.Next(Words.Length)], brief.Token);
            watch.Beat(name, "receiving");
            await client.ReceiveAsync(brief.Token);
        }

        watch.Beat(name, "leaving");
        if (_random.Next(2) == 0)
            client.Abort();
    }
}
