using System.Collections.Concurrent;

namespace Mortise.Peers.Returning;

/// <summary>
/// One client with one policy, and those who send and ask through it as fast as it lets them. A number that was never
/// sent is tried again until it is something else: if that were not true, the ledger would have it twice.
/// </summary>
internal sealed class Customer : IAsyncDisposable
{
    private const int Senders = 2, Askers = 2;

    private readonly SocketClient<string> _client;
    private readonly string _name;
    private readonly ConcurrentDictionary<string, List<Known>> _known = new();
    private readonly CancellationTokenSource _over = new();
    private readonly Task _working;
    private int _connected, _loggedIn, _refused, _lost, _wrong;

    public Customer(string name, Endpoint endpoint, EngineKind engine, WhileDown policy)
    {
        _name = name;
        _client = SocketClient.Create(endpoint, Codec.Lines(), o =>
        {
            o.Transport.Engine = engine;
            o.WhileDown = policy;
            o.Reconnect = Backoff.Exponential(TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(50));
            o.StableAfter = TimeSpan.Zero;
            o.Session = new()
            {
                Correlation = Correlate.InOrder<string>(m => m.StartsWith("re ", StringComparison.Ordinal)),
            };
            o.OnMessage = (_, _) => default;
            o.OnConnected = async (session, stop) =>
            {
                await session.RequestAsync(LedgerServer.Login, cancellationToken: stop);
                Interlocked.Increment(ref _loggedIn);
            };
            o.OnStateChanged = (_, now) => _connected += now.State == ClientState.Connected ? 1 : 0;
            o.OnLost = (_, messages) => Interlocked.Add(ref _lost, messages);
        });
        _working = Task.WhenAll(
            [.. Workers(Ledger.Said, Senders, SayAsync), .. Workers(Ledger.Asked, Askers, AskAsync)]);
    }

    public bool IsConnected => _client.State == ClientState.Connected;

    /// <summary>How often it was there again.</summary>
    public int Connected => Volatile.Read(ref _connected);

    public int LoggedIn => Volatile.Read(ref _loggedIn);

    /// <summary>Calls that ended with "never sent".</summary>
    public int Refused => Volatile.Read(ref _refused);

    /// <summary>Kept messages that it told as lost.</summary>
    public int Lost => Volatile.Read(ref _lost);

    /// <summary>Replies to another request.</summary>
    public int Wrong => Volatile.Read(ref _wrong);

    /// <summary>What is known of each sender's numbers so far.</summary>
    public Dictionary<string, Known[]> Known => _known.ToDictionary(k => k.Key, k =>
    {
        lock (k.Value)
            return k.Value.ToArray();
    });

    /// <summary>Ends the work, and then the client.</summary>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _working;
        await _client.DisposeAsync();
    }

    private IEnumerable<Task> Workers(string kind, int count, Func<string, Task<Known>> send) =>
        Enumerable.Range(0, count).Select(i => Task.Run(() => WorkAsync($"{kind} {_name}{i}", send)));

    private async Task WorkAsync(string who, Func<string, Task<Known>> send)
    {
        var outcomes = _known[who] = [];
        for (var number = 0; !_over.IsCancellationRequested; number++)
        {
            var outcome = Returning.Known.Never;
            while (outcome == Returning.Known.Never && !_over.IsCancellationRequested)
            {
                outcome = await TryAsync(send, $"{who} {number}");
                if (outcome == Returning.Known.Never || number % 20 == 0)
                    await Task.Delay(1, CancellationToken.None);
            }

            lock (outcomes)
                outcomes.Add(outcome);
        }
    }

    private async Task<Known> TryAsync(Func<string, Task<Known>> send, string line)
    {
        try
        {
            return await send(line);
        }
        catch (UndeliveredException e) when (e.Outcome == SendOutcome.NeverSent)
        {
            Interlocked.Increment(ref _refused);
            return Returning.Known.Never;
        }
        catch (UndeliveredException)
        {
            return Returning.Known.Unknown;
        }
    }

    private async Task<Known> SayAsync(string line)
    {
        await _client.SendAsync(line);
        return Returning.Known.Accepted;
    }

    private async Task<Known> AskAsync(string line)
    {
        if (await _client.RequestAsync(line) != $"re {line}")
            Interlocked.Increment(ref _wrong);
        return Returning.Known.Answered;
    }
}
