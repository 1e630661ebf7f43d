using System.Collections.Concurrent;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>A server of lines whose sessions the test has in its hands, over any way of carrying bytes.</summary>
public sealed class Hall : IAsyncDisposable
{
    private readonly ConcurrentDictionary<string, TaskCompletionSource<Session<string>>> _arrivals = new();
    private readonly List<Session<string>> _clients = [];
    private readonly MemoryNetwork _network = new();
    private readonly string _way;

    private Hall(string way, Action<ServerOptions>? configure, Codec<string> codec)
    {
        _way = way;
        Server = SocketServer.Start(way == "memory" ? "mem:hall" : "tcp://127.0.0.1:0", codec, HearAsync, o =>
        {
            Tune(o.Transport, Enum.TryParse<EngineKind>(way, out var kind) ? kind : EngineKind.Managed);
            o.CloseLinger = TimeSpan.Zero;
            configure?.Invoke(o);
        });
    }

    public static TheoryData<string> Ways { get; } =
        ["memory", nameof(EngineKind.Managed), .. Engines.WithLoops.Select(e => e.Data.ToString())];

    public static TheoryData<string> Kernel { get; } = [.. Ways.Select(w => w.Data).Where(w => w != "memory")];

    public SocketServer Server { get; }

    public Group<string> this[string group] => Server.Groups<string>()[group];

    /// <summary>What a session's own handler does with a line, besides its arrival.</summary>
    public Func<Session<string>, string, ValueTask>? OnLine { get; set; }

    public static Hall Open(string way, Action<ServerOptions>? configure = null,
        Codec<string>? codec = null) => new(way, configure, codec ?? Codec.Lines());

    /// <summary>A client, and the server's session for it. The client's side receives only what is asked for.</summary>
    public async Task<(Session<string> Client, Session<string> Member)> EnterAsync(bool slow = false)
    {
        var client = await SocketClient.ConnectAsync(Server.Endpoints[0], Codec.Lines(), o =>
        {
            Tune(o.Transport, EngineKind.Managed);
            if (slow)
                o.Transport.ReceiveBufferBytes = 64 * 1024;
        }, Limits.Soon);
        lock (_clients)
            _clients.Add(client);
        var name = client.Id.ToString();
        var arrival = _arrivals.GetOrAdd(name, _ => new(TaskCreationOptions.RunContinuationsAsynchronously));
        await client.SendAsync("I am " + name);
        return (client, await arrival.Task.InTime());
    }

    /// <summary>So many, all in one group.</summary>
    public async Task<List<(Session<string> Client, Session<string> Member)>> EnterAsync(string group, int members)
    {
        var pairs = new List<(Session<string>, Session<string>)>();
        for (var i = 0; i < members; i++)
        {
            var pair = await EnterAsync();
            Assert.True(this[group].Add(pair.Member));
            pairs.Add(pair);
        }

        return pairs;
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var client in _clients)
            client.Abort();
        await Server.DisposeAsync();
    }

    private void Tune(TransportOptions options, EngineKind engine)
    {
        options.Memory = _network;
        options.Set(engine);
    }

    private ValueTask HearAsync(Session<string> session, string line)
    {
        if (line.StartsWith("I am ", StringComparison.Ordinal))
            _arrivals.GetOrAdd(line[5..], _ => new(TaskCreationOptions.RunContinuationsAsynchronously))
                .SetResult(session);
        return OnLine?.Invoke(session, line) ?? ValueTask.CompletedTask;
    }
}
