using Mortise.Transports.Epoll;
using Mortise.Transports.Loops;
using Mortise.Transports.Uring;

namespace Mortise.Transports.Linux;

/// <summary>TCP and Unix streams on event loops, over io_uring or epoll.</summary>
internal sealed class LinuxTransport(EngineKind kind, string about) : Transport
{
    public override string Name => kind == EngineKind.IoUring ? "io_uring" : "epoll";

    public override string About => about;

    /// <summary>Null where io_uring serves, else what was tried and how it was refused.</summary>
    public static string? UringFailure => UringProbe.Failure;

    public override bool Carries(EndpointKind endpointKind) => 
        endpointKind is EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Unix;

    public override Listener Listen(Endpoint endpoint, TransportOptions options) =>
        new LoopListener(GroupFor(options), endpoint, options) { Engine = About };

    public override ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken) =>
        LoopConnector.ConnectAsync(GroupFor(options), endpoint, options, cancellationToken);

    private LoopGroup GroupFor(TransportOptions options) => LoopGroup.Of(kind, options.Loops, MakePoller);

    private static Poller MakePoller(EngineKind kind) =>
        kind == EngineKind.IoUring ? new UringPoller() : new EpollPoller();
}
