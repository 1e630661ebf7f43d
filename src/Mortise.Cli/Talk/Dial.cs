using System.CommandLine;
using System.Diagnostics;

namespace Mortise.Cli.Talk;

/// <summary>The options of whoever connects, and the connecting: retries are told as they happen.</summary>
internal sealed class Dial
{
    private readonly Option<int> _retry = new("--retry")
    {
        Description = "try again up to N times while nobody accepts; the server may start later",
        HelpName = "N",
    };

    private readonly Option<string> _retryDelay = new("--retry-delay")
    {
        Description = "the pause before a retry: FIRST..LONGEST, doubling, with jitter",
        HelpName = "T..T",
        DefaultValueFactory = _ => "200ms..5s",
    };

    private readonly Option<string?> _bind = new("--bind")
    {
        Description = "use this local address or port",
        HelpName = "ENDPOINT",
    };

    private readonly Option<string?> _interface = new("--interface")
    {
        Description = "use only this network interface, e.g. lo (Linux)",
        HelpName = "NAME",
    };

    private readonly Option<int?> _linger = new("--linger")
    {
        Description = "SO_LINGER in seconds; 0: when stdin ends, reset the connection (RST) instead of closing it",
        HelpName = "SECONDS",
    };

    private readonly Option<bool> _explain = new("--explain") { Description = "on failure also what the kernel did" };
    private readonly TlsTrust _trust = new();
    private readonly Option<string?> _proxy = new("--proxy") { Description = "not in this version", Hidden = true };

    public void AddTo(Command command)
    {
        Option[] all = [_retry, _retryDelay, _bind, _interface, _linger, _explain, _proxy];
        foreach (var option in all)
            command.Add(option);
        _trust.AddTo(command);
    }

    public int? Linger(ParseResult parsed) => parsed.GetValue(_linger);

    public bool Explain(ParseResult parsed) => parsed.GetValue(_explain);

    /// <summary>A datagram socket that talks to this peer only.</summary>
    /// <exception cref="ConnectException">There is no way there, or no socket at the Unix path.</exception>
    public async Task<DatagramSocket> AimAsync(ParseResult parsed, Endpoint endpoint,
        CancellationToken cancellationToken)
    {
        RefuseProxy(parsed);
        if (!endpoint.IsUnix && endpoint.Address is null)
            endpoint = endpoint.WithAddress(
                (await new Resolver().ResolveAsync(endpoint.Host, cancellationToken)).Addresses[0]);
        return DatagramSocket.Connect(endpoint,
            new TransportOptions { Bind = Bind(parsed), Interface = parsed.GetValue(_interface) });
    }

    /// <exception cref="ConnectException">Nobody accepted.</exception>
    public async Task<(Connection Connection, TimeSpan Took)> ConnectAsync(ParseResult parsed, Endpoint endpoint,
        TimeSpan? timeout, CancellationToken cancellationToken)
    {
        RefuseProxy(parsed);
        if (!endpoint.IsStream)
            throw new UnsupportedException("connect", endpoint.ToString(), "datagrams have no connection",
                $"mortise send {endpoint} TEXT");
        var tries = parsed.GetValue(_retry);
        var trust = _trust.Read(parsed);
        var since = Stopwatch.GetTimestamp();
        var connection = await SocketClient.ConnectAsync(endpoint, options =>
        {
            options.Retries = tries;
            trust(options.Tls);
            options.RetryBackoff = ReadBackoff(parsed.GetValue(_retryDelay)!);
            options.OnRetry = (number, error, pause) =>
            {
                Console.Error.WriteLine(DialReport.Retry(endpoint, number, tries, error, pause,
                    parsed.GetValue<string>("--lang")!));
                since = Stopwatch.GetTimestamp() + (long)(pause.TotalSeconds * Stopwatch.Frequency);
            };
            if (timeout is { } longest)
                options.ConnectTimeout = longest;
            options.Transport.Bind = Bind(parsed);
            options.Transport.Interface = parsed.GetValue(_interface);
            options.Transport.LingerSeconds = Linger(parsed);
        }, cancellationToken);
        _trust.Warn(parsed, connection);
        return (connection, Stopwatch.GetElapsedTime(since));
    }

    private Endpoint? Bind(ParseResult parsed) =>
        parsed.GetValue(_bind) is { } local ? Endpoint.Parse(local) : null;

    private void RefuseProxy(ParseResult parsed)
    {
        if (parsed.GetValue(_proxy) is { } proxy)
            throw new UnsupportedException("connect", proxy, "this version connects without a proxy",
                "start the proxy's own tunnel and connect to its local end");
    }

    private static Backoff ReadBackoff(string text)
    {
        var parts = text.Split("..");
        var first = TextValues.Time(parts[0], "--retry-delay");
        var longest = TextValues.Time(parts[^1], "--retry-delay");
        return parts.Length <= 2 && first <= longest
            ? Backoff.Exponential(first, longest)
            : throw new InvalidSettingException("connect", $"--retry-delay {text}", "the first pause is the shortest",
                "for example 200ms..5s");
    }
}
