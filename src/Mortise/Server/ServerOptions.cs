using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mortise.Telemetry;

namespace Mortise;

/// <summary>Where a server's handlers run.</summary>
public enum Dispatch
{
    /// <summary>
    /// On the event loop of their connection, and every <c>await</c> comes back to it: the fast way, for code that does
    /// not block. One that blocks keeps all connections of its loop waiting; a warning names it within 200 ms. Where
    /// the engine has no loops (<see cref="EngineKind.Managed"/>, <c>mem:</c>) this is the thread pool.
    /// </summary>
    Loop,

    /// <summary>On the thread pool: for code that blocks or computes for long.</summary>
    ThreadPool,
}

/// <summary>Whether connections begin with a PROXY header. Who guesses can be lied to, so nobody does.</summary>
public enum ProxyProtocol
{
    /// <summary>None is read, and one that comes is payload.</summary>
    Off,

    /// <summary>Every connection begins with one, version 1 or 2, from <see cref="ServerOptions.TrustedProxies"/>.
    /// </summary>
    Require,
}

/// <summary>
/// The limits and times of a server. Every one is bounded by default; "unlimited" must be typed
/// (<see cref="int.MaxValue"/>, <see cref="Timeout.InfiniteTimeSpan"/>).
/// </summary>
public sealed class ServerOptions
{
    /// <summary>
    /// Connections served at once, never more than the descriptor limit allows. At the limit the server stops accepting
    /// and the kernel's accept queue waits. At least 1; default 10,000.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int MaxConnections
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            field = value;
        }
    } = 10_000;

    /// <summary>Where handlers run. Default <see cref="Dispatch.Loop"/>.</summary>
    public Dispatch Dispatch { get; set; }

    /// <summary>The name of the user's handler in warnings.</summary>
    internal string? HandlerName { get; set; }

    /// <summary>
    /// Connections from one remote IP address (one /64 for IPv6); more are closed at once. The default is 1,024 and
    /// leaves loopback out; a limit that was set holds for every peer.
    /// </summary>
    public int MaxConnectionsPerAddress { get; set => (field, LimitsLoopback) = (value, true); } = 1_024;

    /// <summary>The limit for each address was set, and holds for loopback too.</summary>
    internal bool LimitsLoopback { get; private set; }

    /// <summary>
    /// Says whether a peer may come in; one that may not is reset at once, before its handler and its first byte. It
    /// must be quick and must not throw. Null admits everybody whom <see cref="Allow"/> and <see cref="Deny"/> leave.
    /// </summary>
    public Func<Endpoint, bool>? Admit { get; set; }

    /// <summary>
    /// Only peers of these ranges come in; others are reset at accept. Empty: everybody. A Unix or memory peer has no
    /// address and is not asked for one: who may use a socket's file, its permissions say.
    /// </summary>
    public IList<Cidr> Allow { get; } = [];

    /// <summary>Peers of these ranges are reset at accept, whatever <see cref="Allow"/> says.</summary>
    public IList<Cidr> Deny { get; } = [];

    /// <summary>
    /// The server is behind a proxy that tells whom it speaks for. <see cref="Connection.RemoteEndpoint"/> is then the
    /// address that was told, and <see cref="Admit"/>, <see cref="Allow"/>, <see cref="Deny"/> and
    /// <see cref="MaxConnectionsPerAddress"/> judge that one. A connection that does not begin with a header, or comes
    /// from elsewhere than <see cref="TrustedProxies"/>, is closed for <see cref="CloseReason.ProxyHeader"/>.
    /// </summary>
    public ProxyProtocol ProxyProtocol { get; set; }

    /// <summary>
    /// Whose PROXY headers are believed: whoever is in these ranges can speak as anybody. Needed with
    /// <see cref="ProxyProtocol.Require"/>. A Unix peer has no address, and so cannot be trusted.
    /// </summary>
    public IList<Cidr> TrustedProxies { get; } = [];

    /// <summary>
    /// A peer from which nothing was received for so long is let go. Default 2 minutes, and 30 s for UDP and Unix
    /// datagrams, where nobody says goodbye; a time that was set holds for all. What was received and waits for the
    /// handler is no silence; heartbeats that the session knows as such are.
    /// </summary>
    public TimeSpan IdleTimeout { get; set => field = DatagramIdleTimeout = Checked(value); } = TimeSpan.FromMinutes(2);

    /// <summary>The same for peers that cannot say goodbye.</summary>
    internal TimeSpan DatagramIdleTimeout { get; private set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// What comes before the handler's first byte (PROXY header, TLS) must be over within this time. Default 10 s.
    /// </summary>
    public TimeSpan HandshakeTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// What each connection goes through before its handler, in this order and in its own task; the token says that the
    /// time is over. A <see cref="HandshakeException"/> closes the connection for its reason.
    /// </summary>
    internal List<Func<Connection, CancellationToken, ValueTask>> Openings { get; } = [];

    /// <summary>A begun frame must be whole within this time. Default 15 s.</summary>
    public TimeSpan FrameTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(15);

    /// <summary>A begun frame must arrive at this rate after 5 s, in bytes per second. Default 240.</summary>
    public int FrameBytesPerSecondMin { get; set; } = 240;

    /// <summary>A peer that takes no byte for so long while bytes wait for it is aborted. Default 30 s.</summary>
    public TimeSpan WriteStallTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// What becomes of broadcasts to a session whose peer reads slower than they come. Default
    /// <see cref="SlowReaders.Disconnect"/>.
    /// </summary>
    public SlowReaders SlowReaders { get; set; }

    /// <summary>
    /// Bytes that broadcasts may leave waiting for a slow reader before <see cref="SlowReaders"/> decides; the start
    /// value of a session's own <c>QueueBytesMax</c>. At least 1; default 1 MiB.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public long QueueBytesMax
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            field = value;
        }
    } = QueueBytesMaxDefault;

    internal const long QueueBytesMaxDefault = 1024 * 1024;

    /// <summary>
    /// What each session is read at; null, the default: as fast as its handler takes messages. Of a raw connection its
    /// handler decides what it reads, and nothing is counted.
    /// </summary>
    public RateLimit? SessionRate { get; set; }

    /// <summary>
    /// The same for all sessions of one remote IP address together (one /64 for IPv6, loopback too). Peers without an
    /// address are not limited. An address is forgotten when its last session is over and its rate has recovered.
    /// </summary>
    public RateLimit? AddressRate { get; set; }

    /// <summary>
    /// After the handler is done, how long the peer may take to finish, so that no reset destroys the reply. Default 2
    /// s.
    /// </summary>
    public TimeSpan CloseLinger { get; set => field = Checked(value); } = TimeSpan.FromSeconds(2);

    /// <summary>How long connections get to finish when the server stops. Default 10 s.</summary>
    public TimeSpan DrainTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(10);

    /// <summary>Pause between an accept and the next, to watch the accept queue fill. Default none.</summary>
    public TimeSpan AcceptDelay { get; set; }

    /// <summary>How <c>tls://</c> endpoints are encrypted; they need a certificate.</summary>
    public TlsServerOptions Tls { get; } = new();

    /// <summary>What the kernel is told about the sockets.</summary>
    public TransportOptions Transport { get; } = new();

    /// <summary>What the rooms above keep here until the server starts.</summary>
    internal List<object> ForRooms { get; } = [];

    /// <summary>Where the server logs. Default nowhere; <c>RunAsync</c> tells its warnings on standard error.</summary>
    public ILogger Logger { get; set; } = NullLogger.Instance;

    /// <summary>Called on every accepted connection, before its handler; it must be quick.</summary>
    public Action<Connection>? OnAccepted { get; set; }

    /// <summary>Called once for every connection that ended; <see cref="Connection.CloseReason"/> says why.</summary>
    public Action<Connection>? OnClosed { get; set; }

    internal TimeProvider Time => Transport.Time;

    /// <summary><see cref="Logger"/>, as the server uses it.</summary>
    internal ILogger Log => field ??= new UnfailingLog(Logger);

    /// <summary>
    /// What <see cref="Deny"/>, <see cref="Allow"/> and <see cref="Admit"/> say together, for who receives datagrams or
    /// accepts by hand.
    /// </summary>
    public bool Admits(Endpoint peer)
    {
        ArgumentNullException.ThrowIfNull(peer);
        return !Denies(peer) && (Allow.Count == 0 || peer.Address is not { } address || IsIn(Allow, address))
            && Admit?.Invoke(peer) != false;
    }

    /// <summary>What it says about PROXY headers makes sense.</summary>
    /// <exception cref="InvalidSettingException">It does not.</exception>
    internal void CheckProxies()
    {
        if (ProxyProtocol == ProxyProtocol.Require && TrustedProxies.Count == 0)
            throw new InvalidSettingException("serve", "PROXY headers", "they are required, and nobody is trusted to "
                + "send them", "name the proxies in ServerOptions.TrustedProxies (`--trusted CIDR`)");
        if (ProxyProtocol == ProxyProtocol.Off && TrustedProxies.Count > 0)
            throw new InvalidSettingException("serve", $"trusted {TrustedProxies[0]}", "no PROXY headers are read, so "
                + "nobody's can be trusted", "set ServerOptions.ProxyProtocol to Require (`--proxy-protocol require`)");
    }

    /// <summary>A PROXY header from there is believed.</summary>
    internal bool Trusts(Endpoint peer) =>
        TrustedProxies.Count > 0 && peer.Address is { } address && IsIn(TrustedProxies, address);

    /// <summary>It is on the list of those who may not come in.</summary>
    internal bool Denies(Endpoint peer) => Deny.Count > 0 && peer.Address is { } address && IsIn(Deny, address);

    private static bool IsIn(IList<Cidr> ranges, IPAddress address)
    {
        for (var i = 0; i < ranges.Count; i++)
            if (ranges[i].Contains(address))
                return true;
        return false;
    }

    /// <summary>A negative time would be over before it began: only "never" may be below zero.</summary>
    private static TimeSpan Checked(TimeSpan time)
    {
        if (time != Timeout.InfiniteTimeSpan)
            ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        return time;
    }
}
