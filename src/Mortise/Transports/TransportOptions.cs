namespace Mortise;

/// <summary>What the kernel is told about listening and connected sockets. Defaults suit small messages.</summary>
/// <remarks>
/// Values are given to the kernel when a listener starts or a client connects: one that it refuses fails there, as a
/// <see cref="BindException"/> or <see cref="ConnectException"/> with EINVAL.
/// </remarks>
public sealed class TransportOptions
{
    /// <summary>
    /// What moves the bytes. <see cref="EngineKind.Auto"/> (default) takes the best that works here, or what the
    /// environment variable <c>MORTISE_ENGINE</c> names: <c>io_uring</c>, <c>epoll</c> or <c>managed</c>.
    /// </summary>
    public EngineKind Engine { get; set; }

    /// <summary>
    /// Event loops of the Linux engine, 1 to 256; 0 = one for each CPU (default). All that ask for the same number
    /// share the same loops. Asked of <see cref="EngineKind.Managed"/>, which has none, it is an invalid setting.
    /// </summary>
    public int Loops
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, LoopsMax);
            field = value;
        }
    }

    /// <summary>The most event loops that can be asked for: 256.</summary>
    public const int LoopsMax = 256;

    /// <summary>
    /// Connections the kernel completes and keeps for accept (<c>listen(2)</c>); clamped to somaxconn. Default 512.
    /// </summary>
    public int Backlog { get; set; } = 512;

    /// <summary>Small writes leave at once (TCP_NODELAY, <c>tcp(7)</c>). Default on.</summary>
    public bool NoDelay { get; set; } = true;

    /// <summary>Idle time before the first keep-alive probe, 1 s to 32,767 s; null = no probes. Default 30 s.</summary>
    public TimeSpan? KeepAliveIdle { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Time between keep-alive probes, 1 s to 32,767 s. Default 1 s: probes of many idle connections leave in bursts,
    /// some are lost, and a living peer must have answered one of them long before it is given up.
    /// </summary>
    public TimeSpan KeepAliveInterval { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Unanswered probes after which the peer is dead, 1 to 127. Default 30: a dead peer is seen after a minute.
    /// </summary>
    public int KeepAliveCount { get; set; } = 30;

    /// <summary>
    /// How long sent bytes may stay unacknowledged before the kernel gives the peer up (TCP_USER_TIMEOUT, Linux); null
    /// leaves the kernel's own 15 minutes. Default 60 s. It also takes the place of <see cref="KeepAliveCount"/>
    /// (<c>tcp(7)</c>): below <see cref="KeepAliveIdle"/> + count × interval, fewer lost probes end an idle connection;
    /// below <see cref="KeepAliveIdle"/>, a single one.
    /// </summary>
    public TimeSpan? UserTimeout { get; set; } = TimeSpan.FromSeconds(60);

    /// <summary>
    /// SO_LINGER in seconds, 0 to 65,535: null = close in the background (default), 0 = every close is a reset (RST).
    /// </summary>
    public int? LingerSeconds { get; set; }

    /// <summary>
    /// SO_SNDBUF in bytes (Linux doubles it and shows the double), or null for the kernel's autotuning.
    /// </summary>
    public int? SendBufferBytes { get; set; }

    /// <summary>
    /// SO_RCVBUF in bytes (Linux doubles it and shows the double), or null for the kernel's autotuning.
    /// </summary>
    public int? ReceiveBufferBytes { get; set; }

    /// <summary>
    /// Urgent bytes (MSG_OOB) will be received: then <see cref="EngineKind.Managed"/> carries this endpoint, whatever
    /// <see cref="Engine"/> says. The other engines receive ahead of the reader, and the kernel throws an urgent byte
    /// away when the stream is received past its mark (<c>tcp(7)</c>). Default off.
    /// </summary>
    public bool UrgentData { get; set; }

    /// <summary>
    /// Several listeners may share the port and the kernel spreads connections (SO_REUSEPORT). Default off.
    /// </summary>
    public bool ReusePort { get; set; }

    /// <summary>An IPv6 wildcard also accepts IPv4 (IPV6_V6ONLY off). Default on.</summary>
    public bool DualMode { get; set; } = true;

    /// <summary>
    /// Send and receive only through this network interface (SO_BINDTODEVICE, Linux), e.g. <c>lo</c>.
    /// </summary>
    public string? Interface { get; set; }

    /// <summary>For a client: the local address or port to use; null lets the kernel pick.</summary>
    public Endpoint? Bind { get; set; }

    /// <summary>
    /// SYNs sent again before the kernel gives up, 1 to 127 (TCP_SYNCNT, Linux); null = its own 6 (about 127 s).
    /// </summary>
    public int? SynCount { get; set; }

    /// <summary>Permissions of a Unix socket's file; null = as the umask says.</summary>
    public UnixFileMode? UnixFileMode { get; set; }

    /// <summary>
    /// A server of datagrams may send a peer more than came from it. Off by default: who forges a sender could have a
    /// stranger flooded. What would be too much is dropped and counted (<c>dropped_total</c>, reason
    /// <c>amplification</c>), unless <see cref="Connection.ConfirmPeer"/> said that the peer is real.
    /// </summary>
    public bool AllowAmplification { get; set; }

    /// <summary>
    /// Datagrams may go to broadcast addresses (SO_BROADCAST). Off by default: the kernel refuses them (EACCES).
    /// </summary>
    public bool Broadcast { get; set; }

    /// <summary>
    /// Routers that a multicast datagram may pass, plus one: 0 stays on this machine, 1 in this network, to 255
    /// (IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS). Null: the kernel's own, 1.
    /// </summary>
    public int? MulticastTtl { get; set; }

    /// <summary>
    /// Sockets of this machine that joined the group get what is sent to it from here (IP_MULTICAST_LOOP). Default on.
    /// </summary>
    public bool MulticastLoopback { get; set; } = true;

    /// <summary>The network of <c>mem:</c> endpoints. Default <see cref="MemoryNetwork.Shared"/>.</summary>
    public MemoryNetwork Memory { get; set; } = MemoryNetwork.Shared;

    /// <summary>The clock of all timeouts.</summary>
    public TimeProvider Time { get; set; } = TimeProvider.System;

    /// <summary>Where the caller of a connect runs and wants its connection to live, or null.</summary>
    internal SynchronizationContext? Home { get; set; }
}

/// <summary>What moves the bytes of TCP and Unix streams.</summary>
public enum EngineKind
{
    /// <summary>The best that this system offers: io_uring, else epoll, else <see cref="Managed"/>.</summary>
    Auto,
    /// <summary>Event loops over io_uring (<c>io_uring(7)</c>): Linux 6.1 or later, where it is permitted.</summary>
    IoUring,
    /// <summary>Event loops over <c>epoll(7)</c>: every Linux.</summary>
    Epoll,
    /// <summary>System.Net.Sockets: every system that .NET runs on.</summary>
    Managed,
}
