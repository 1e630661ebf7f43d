using System.Collections.Concurrent;
using System.Net;
using Mortise.Transports;
using Mortise.Transports.Linux;
using Mortise.Transports.Managed;
using Mortise.Transports.Memory;
using Mortise.Transports.Packets;

namespace Mortise;

/// <summary>
/// Chooses the transport that carries an endpoint. Only the front doors ask; no room below knows the choice.
/// </summary>
internal static class Engine
{
    private static readonly MemoryTransport Memory = new();
    private static readonly PacketTransport Packets = new();
    private static readonly ConcurrentDictionary<EngineChoice, Transport> Engines = new();

    /// <summary>
    /// <c>localhost</c> is an address by definition (RFC 6761), so that it can be listened on; other names cannot.
    /// </summary>
    public static Endpoint Bindable(Endpoint endpoint) => endpoint.Address is null && endpoint.Host == "localhost"
        ? endpoint.WithAddress(IPAddress.Loopback)
        : endpoint;

    /// <exception cref="UnsupportedException">No transport of this build, or the engine asked for on this system,
    /// carries the endpoint.</exception>
    /// <exception cref="InvalidSettingException">MORTISE_ENGINE names no engine.</exception>
    public static Transport For(Endpoint endpoint, TransportOptions options) => endpoint.Kind switch
    {
        EndpointKind.Memory => Memory,
        EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Unix => Engines.GetOrAdd(Choose(options), Make),
        _ => Packets,
    };

    private static EngineChoice Choose(TransportOptions options)
    {
        var forced = Environment.GetEnvironmentVariable(EngineChoice.Variable);
        var choice = options.UrgentData ? new(EngineKind.Managed, "managed: urgent data asked for")
            : EngineChoice.Make(options.Engine, forced, OperatingSystem.IsLinux(),
                static () => LinuxTransport.UringFailure);
        if (choice.Kind != EngineKind.Managed || options.Loops == 0)
            return choice;
        if (options.UrgentData || options.Engine == EngineKind.Managed)
            throw new InvalidSettingException("engine", $"managed with {options.Loops} loops",
                "the managed engine has no event loops, and it is the one that carries urgent data",
                "leave the loops away, or choose auto, io_uring or epoll without urgent data");
        // The system or the environment decided, not the program: its loops are no fault of its own.
        return choice with { About = $"{choice.About}, without the {options.Loops} event loops asked for" };
    }

    private static Transport Make(EngineChoice choice) => choice.Kind switch
    {
        EngineKind.Managed => new ManagedTransport(choice.About),
        var linux => new LinuxTransport(linux, choice.About),
    };
}
