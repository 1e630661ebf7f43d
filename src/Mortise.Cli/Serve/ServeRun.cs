using System.CommandLine;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>One run of a server: listen, say so, wait for a signal, drain.</summary>
internal sealed class ServeRun
{
    private readonly Kind _kind;
    private readonly ServeSettings _settings;
    private readonly Endpoint[] _streams;
    private readonly Endpoint[] _datagrams;
    private readonly ServeLog _log;
    private readonly List<(Endpoint At, Func<Connection, Task> Handler)> _services = [];
    private readonly CancellationTokenSource _outputClosed = new();
    private readonly ServerOptions _options = new();
    private readonly Chaos? _chaos;

    public ServeRun(Kind kind, ParseResult parsed, ServeSettings settings, Endpoint[] endpoints)
    {
        _kind = kind;
        _settings = settings;
        _datagrams = [.. endpoints.Where(e => e.Kind is EndpointKind.Udp or EndpointKind.UnixDatagram)];
        _streams = [.. endpoints.Except(_datagrams)];
        if (_datagrams.Length > 0 && kind is not EchoKind)
            throw new UnsupportedException("serve", _datagrams[0].ToString(),
                $"{kind.Name} needs a stream, and datagrams are none", "use tcp:// or unix:, or mortise serve echo");
        if (_datagrams.Length > 0 && settings.Framing is not null)
            throw new UnsupportedException("serve", _datagrams[0].ToString(),
                "a datagram is a whole message already: it needs no framing rule", "leave --frame out");
        _chaos = (kind as EchoKind)?.ChaosOf(parsed);
        if (_chaos is not null && _streams.Length > 0)
            throw new UnsupportedException("serve", _streams[0].ToString(),
                "a stream loses nothing: --chaos is for datagrams", "leave it out, or use udp:// or unixgram:");
        kind.Configure(_options);
        settings.Configure(_options);
        if (_datagrams.Length > 0 && _options.ProxyProtocol != ProxyProtocol.Off)
            throw new UnsupportedException("serve", _datagrams[0].ToString(),
                "PROXY headers are read from streams, not from datagrams", "leave --proxy-protocol out, or use tcp://");
        _log = ServeLog.Create(kind, settings, parsed.GetValue<string>("--lang") == "zh", _outputClosed);
        if (_streams.Length == 0)
            return;
        var handler = kind.Handler(parsed, settings, _log);
        _services.AddRange(_streams.Select(e => (e, handler)));
        foreach (var (at, framing, more) in kind.More(parsed, settings, _log))
        {
            _services.Add((at, more));
            _log.FramesAt(_services.Count - 1, framing);
        }
    }

    /// <summary>Serves until <paramref name="interrupted"/>; the exit code.</summary>
    public async Task<int> RunAsync(CancellationToken interrupted)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(interrupted, _outputClosed.Token);
        var echoes = new List<DatagramEcho>();
        SocketServer? server = null;
        MetricsPage? metrics = null;
        try
        {
            // The log is held until it has said what listens: no client comes in before that line.
            lock (_log.Gate)
            {
                if (_services.Count > 0)
                    server = SocketServer.Start(_services, Configure);
                foreach (var at in _datagrams)
                    echoes.Add(new(DatagramSocket.Bind(at, _options.Transport), _log, _options.Admits, _chaos));
                metrics = MetricsPage.Start(_settings.Metrics);
                _log.Engines(server?.Listeners ?? []);
                _log.Started(server?.Listeners ?? [], [.. echoes.Select(e => e.Socket)], metrics?.Endpoint);
                _log.MayLoseLines = true;
            }

            using var ready = new ReadyFile("serve", _settings.ReadyFile,
                [.. server?.Endpoints ?? [], .. echoes.Select(e => e.Socket.LocalEndpoint)]);
            // On threads of the pool: a flood at one socket must not keep the next from its first receive.
            var answering = echoes.Select(e => Task.Run(() => e.RunAsync(stop.Token))).ToArray();
            await Task.Delay(Timeout.Infinite, stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Task.WhenAll(answering);
            var drained = await DrainAsync(server);
            _log.Stopped(new(server?.Statistics.Accepted, drained, echoes.Count == 0 ? null
                : new(echoes.Sum(e => e.Answered), echoes.Sum(e => e.Socket.KernelDrops ?? 0), _chaos?.Lost ?? 0)));
            return Interrupts.Second.IsCancellationRequested ? ExitCodes.Interrupted : ExitCodes.Ok;
        }
        finally
        {
            foreach (var echo in echoes)
                echo.Dispose();
            if (metrics is not null)
                await metrics.DisposeAsync();
            if (server is not null)
                await server.DisposeAsync();
        }
    }

    private void Configure(ServerOptions options)
    {
        _kind.Configure(options);
        _settings.Configure(options);
        options.Logger = _log;
        if (!_log.WantsConnections)
            return;
        options.OnAccepted = _log.Accepted;
        options.OnClosed = _log.Closed;
    }

    private async Task<DrainResult> DrainAsync(SocketServer? server)
    {
        if (server is null)
            return default;
        await server.SuspendAsync();
        _log.Stopping(server.Connections.Count, _options.DrainTimeout);
        return await server.DrainAsync(cancellationToken: Interrupts.Second);
    }
}
