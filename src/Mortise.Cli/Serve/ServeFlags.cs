using System.CommandLine;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>The flags that every kind of server takes. What they come to is in <see cref="ServeSettings"/>.</summary>
internal sealed class ServeFlags
{
    private readonly List<Option> _all = [];
    private readonly Option<string?> _frame, _maxFrame, _engine, _interface, _sndbuf, _rcvbuf, _encoding,
        _acceptDelay, _readyFile, _sendQueue, _slow, _idle, _handshakeTimeout, _frameTimeout, _minRate, _writeStall,
        _userTimeout, _drain, _proxy, _metrics, _dashboard, _backplane;
    private readonly Option<int?> _loops, _backlog, _maxConnections, _maxPerIp;
    private readonly Option<bool> _reusePort, _quiet, _verbose, _json;
    private readonly Option<string[]> _allow, _deny, _trusted;
    private readonly Option<string?> _logFormat;

    public ServeFlags()
    {
        _frame = Text("--frame", "RULE", "whole frames: line, len:4, delim:\\r\\n, fixed:16, varint, json, …");
        _maxFrame = Text("--max-frame", "SIZE", "the largest frame (1MiB)");
        _engine = Text("--engine", "NAME", "auto (what works best, or MORTISE_ENGINE), io_uring, epoll, managed");
        _loops = Number("--loops", "event loops of io_uring and epoll (0: one for each CPU)");
        _backlog = Number("--backlog", "accept queue asked of the kernel (512), clamped to net.core.somaxconn");
        _reusePort = Switch("--reuse-port", "several servers share the port, the kernel spreads (SO_REUSEPORT)");
        _interface = Text("--interface", "NAME", "only through this network interface, e.g. lo");
        _sndbuf = Text("--sndbuf", "SIZE", "SO_SNDBUF; Linux doubles it, -v shows what is in force");
        _rcvbuf = Add(ReceiveBuffer());
        _encoding = Text("--encoding", "NAME", "what peers speak: gb18030, big5, latin1, … (utf-8)");
        _acceptDelay = Text("--accept-delay", "T", "pause after every accept, to watch the accept queue");
        _readyFile = Text("--ready-file", "F", "written once all listen, one endpoint a line; removed at exit");
        _maxConnections = Number("--max-connections", "served at once (10000); more wait in the accept queue");
        _maxPerIp = Number("--max-per-ip", "from one address (1024, loopback left out); typed, it holds for all");
        _sendQueue = Text("--send-queue", "SIZE", "sent to many, so much may wait for a slow reader (1MiB)");
        _slow = Text("--slow", "POLICY", "sent to many, slow readers: disconnect, drop-oldest, drop-newest, wait");
        _idle = Text("--idle", "T", "nothing received for so long: let go (2m; never)");
        _handshakeTimeout = Text("--handshake-timeout", "T", "a PROXY header and TLS must be over within (10s)");
        _frameTimeout = Text("--frame-timeout", "T", "a begun frame must be whole within (15s)");
        _minRate = Text("--min-rate", "BYTES/s", "a begun frame must come this fast after 5 s (240)");
        _writeStall = Text("--write-stall", "T", "a peer that takes no byte for so long is aborted (30s)");
        _userTimeout = Text("--user-timeout", "T", "unacknowledged for so long: the peer is dead (60s; never)");
        _drain = Text("--drain", "T", "how long connections get to finish at the end (10s)");
        foreach (var option in Tls.All)
            Add(option);
        _proxy = Text("--proxy-protocol", "MODE", "off, or require: each connection begins with a PROXY header");
        _trusted = Texts("--trusted", "CIDR", "whose PROXY headers are believed; they can speak as anybody");
        (_allow, _deny) = (Add(Allow()), Add(Deny()));
        _metrics = Text("--metrics", "ENDPOINT", "HTTP: /metrics (Prometheus text) and /metrics.json");
        _dashboard = Text("--dashboard", "ENDPOINT", "not in this version");
        _backplane = Text("--backplane", "URL", "not in this version");
        _quiet = Switch("--quiet", "say nothing but failures");
        _verbose = Switch("--verbose", "every connection and what it says", "-v");
        _json = Switch("--json", "NDJSON events on stdout");
        _logFormat = Text("--log-format", "FORMAT", "text, json, or seed (the words of the tutorials' programs)");
        _logFormat.AcceptOnlyFromAmong("text", "json", "seed");
    }

    public IReadOnlyList<Option> All => _all;

    public TlsFlags Tls { get; } = new();

    /// <summary>`listen` takes these too.</summary>
    public static Option<string[]> Allow() => new("--allow")
    {
        Description = "only peers of these networks come in",
        HelpName = "CIDR",
    };

    public static Option<string[]> Deny() => new("--deny")
    {
        Description = "peers of these networks are reset at accept; goes before --allow",
        HelpName = "CIDR",
    };

    /// <summary>Who may come in.</summary>
    /// <exception cref="InvalidSettingException">A text is no network.</exception>
    public static Action<ServerOptions> Lists(ParseResult parsed, Option<string[]> allow, Option<string[]> deny)
    {
        Cidr[] allowed = [.. (parsed.GetValue(allow) ?? []).Select(Cidr.Parse)];
        Cidr[] denied = [.. (parsed.GetValue(deny) ?? []).Select(Cidr.Parse)];
        return o =>
        {
            foreach (var cidr in allowed)
                o.Allow.Add(cidr);
            foreach (var cidr in denied)
                o.Deny.Add(cidr);
        };
    }

    public static Option<string?> ReceiveBuffer() => new("--rcvbuf")
    {
        Description = "SO_RCVBUF; Linux doubles it, -v shows what is in force",
        HelpName = "SIZE",
    };

    /// <exception cref="InvalidSettingException">A value is no time, size, rule, …</exception>
    /// <exception cref="UnsupportedException">A flag whose part is not in this version.</exception>
    public ServeSettings Read(ParseResult parsed, Kind kind)
    {
        RefuseLater(parsed);
        var tls = Tls.Read(parsed, out var certificate);
        var framing = parsed.GetValue(_frame) is { } rule ? Framing.Parse(rule)
            : kind.DefaultFrame is { } own ? Framing.Parse(own) : null;
        if (parsed.GetValue(_maxFrame) is { } max)
            framing = (framing ?? throw new InvalidSettingException("serve", "--max-frame",
                "raw bytes have no frames", "add --frame RULE")).WithMax(TextValues.Size(max, _maxFrame.Name));
        if (framing?.ToString().StartsWith("raw", StringComparison.Ordinal) == true)
            framing = null;
        return new ServeSettings
        {
            Framing = framing,
            Encoding = TextValues.Encoding(parsed.GetValue(_encoding)),
            Verbose = parsed.GetValue(_verbose),
            Quiet = parsed.GetValue(_quiet),
            LogFormat = parsed.GetValue(_json) ? "json" : parsed.GetValue(_logFormat) ?? "text",
            ReadyFile = parsed.GetValue(_readyFile),
            Metrics = parsed.GetValue(_metrics) is { } metrics ? Endpoint.Parse(metrics) : null,
            BacklogAsked = parsed.GetValue(_backlog),
            CertificateNote = certificate,
            Configure = ReadLimits(parsed) + ReadTransport(parsed) + tls,
        };
    }

    private Action<ServerOptions> ReadLimits(ParseResult parsed)
    {
        var configure = Lists(parsed, _allow, _deny) + Proxies(parsed);
        When(_maxConnections, n => configure += o => o.MaxConnections = AtLeastOne(n, "--max-connections"));
        When(_maxPerIp, n => configure += o => o.MaxConnectionsPerAddress = AtLeastOne(n, "--max-per-ip"));
        WhenTime(_idle, (o, t) => o.IdleTimeout = t);
        WhenTime(_frameTimeout, (o, t) => o.FrameTimeout = t);
        WhenTime(_writeStall, (o, t) => o.WriteStallTimeout = t);
        WhenTime(_drain, (o, t) => o.DrainTimeout = t);
        WhenTime(_handshakeTimeout, (o, t) => o.HandshakeTimeout = t);
        WhenTime(_acceptDelay, (o, t) => o.AcceptDelay = t);
        if (parsed.GetValue(_slow) is { } slow && SlowReadersOf(slow) is var policy)
            configure += o => o.SlowReaders = policy;
        if (parsed.GetValue(_sendQueue) is { } queue && TextValues.Size(queue, _sendQueue.Name) is var queueBytes)
            configure += queueBytes > 0 ? o => o.QueueBytesMax = queueBytes
                : throw new InvalidSettingException("serve", $"--send-queue {queue}", "no message fits into that",
                    "write 1 byte or more, for example 64KiB");
        if (parsed.GetValue(_minRate) is { } rate)
        {
            var bytesPerSecond = TextValues.Bytes32(rate.EndsWith("/s", StringComparison.Ordinal) ? rate[..^2] : rate,
                _minRate.Name);
            configure += o => o.FrameBytesPerSecondMin = bytesPerSecond;
        }

        return configure;

        void When(Option<int?> option, Action<int> set)
        {
            if (parsed.GetValue(option) is { } number)
                set(number);
        }

        void WhenTime(Option<string?> option, Action<ServerOptions, TimeSpan> set)
        {
            if (parsed.GetValue(option) is not { } text)
                return;
            var time = TextValues.Time(text, option.Name);
            configure += o => set(o, time);
        }
    }

    private Action<ServerOptions> Proxies(ParseResult parsed)
    {
        var protocol = parsed.GetValue(_proxy) switch
        {
            null or "off" => ProxyProtocol.Off,
            "require" => ProxyProtocol.Require,
            var other => throw NoSuch(_proxy, other, "off, require"),
        };
        Cidr[] trusted = [.. (parsed.GetValue(_trusted) ?? []).Select(Cidr.Parse)];
        return o =>
        {
            o.ProxyProtocol = protocol;
            foreach (var cidr in trusted)
                o.TrustedProxies.Add(cidr);
        };
    }

    private Action<ServerOptions> ReadTransport(ParseResult parsed)
    {
        Action<TransportOptions> configure = t => t.ReusePort = parsed.GetValue(_reusePort);
        var engine = EngineOf(parsed);
        configure += t => t.Engine = engine;
        if (parsed.GetValue(_loops) is { } loops)
            configure += loops is >= 0 and <= TransportOptions.LoopsMax ? t => t.Loops = loops
                : throw new InvalidSettingException("serve", $"--loops {loops}", "there is no such number of loops",
                    $"write 1 to {TransportOptions.LoopsMax}, or 0 for one for each CPU");
        if (parsed.GetValue(_backlog) is { } backlog)
            configure += t => t.Backlog = backlog;
        if (parsed.GetValue(_interface) is { } name)
            configure += t => t.Interface = name;
        if (parsed.GetValue(_sndbuf) is { } send && TextValues.Bytes32(send, _sndbuf.Name) is var sendBytes)
            configure += t => t.SendBufferBytes = sendBytes;
        if (parsed.GetValue(_rcvbuf) is { } receive && TextValues.Bytes32(receive, _rcvbuf.Name) is var receiveBytes)
            configure += t => t.ReceiveBufferBytes = receiveBytes;
        if (parsed.GetValue(_userTimeout) is { } text && TextValues.Time(text, _userTimeout.Name) is var time)
            configure += t => t.UserTimeout = time == Timeout.InfiniteTimeSpan ? null : time;
        return o => configure(o.Transport);
    }

    private EngineKind EngineOf(ParseResult parsed) => parsed.GetValue(_engine) switch
    {
        null or "auto" => EngineKind.Auto,
        "io_uring" => EngineKind.IoUring,
        "epoll" => EngineKind.Epoll,
        "managed" => EngineKind.Managed,
        var other => throw NoSuch(_engine, other, "auto, io_uring, epoll, managed"),
    };

    private SlowReaders SlowReadersOf(string text) => text switch
    {
        "disconnect" => SlowReaders.Disconnect,
        "drop-oldest" => SlowReaders.DropOldest,
        "drop-newest" => SlowReaders.DropNewest,
        "wait" => SlowReaders.Wait,
        var other => throw NoSuch(_slow, other, "wait, drop-oldest, drop-newest, disconnect"),
    };

    private void RefuseLater(ParseResult parsed)
    {
        Option<string?>[] later = [_dashboard, _backplane];
        foreach (var option in later)
            if (parsed.GetValue(option) is not null)
                throw Later(option.Name, "it is");
    }

    private static UnsupportedException Later(string flag, string what) =>
        new("serve", flag, $"{what} not in this version", "leave the flag out");

    private static InvalidSettingException NoSuch(Option option, string value, string known) =>
        new("serve", $"{option.Name} {value}", "there is no such choice", $"choose one of {known}");

    private static int AtLeastOne(int number, string flag) => number >= 1 ? number
        : throw new InvalidSettingException("serve", $"{flag} {number}", "a server must let in at least one",
            "write 1 or more");

    private Option<string?> Text(string name, string value, string what) =>
        Add(new Option<string?>(name) { Description = what, HelpName = value });

    private Option<string[]> Texts(string name, string value, string what) =>
        Add(new Option<string[]>(name) { Description = what, HelpName = value });

    private Option<int?> Number(string name, string what) =>
        Add(new Option<int?>(name) { Description = what, HelpName = "N" });

    private Option<bool> Switch(string name, string what, params string[] aliases) =>
        Add(new Option<bool>(name, aliases) { Description = what });

    private T Add<T>(T option) where T : Option
    {
        option.Recursive = true;
        _all.Add(option);
        return option;
    }
}
