using System.Net.Sockets;
using System.Net;
using Mortise.Errors;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Managed;

/// <summary>TCP and Unix streams through <see cref="System.Net.Sockets"/>: runs on every system .NET runs on.</summary>
internal sealed class ManagedTransport : Transport
{
    private const string SomaxconnPath = "/proc/sys/net/core/somaxconn";

    public override string Name => "managed";

    public override bool Carries(EndpointKind kind) => kind is EndpointKind.Tcp or EndpointKind.Unix;

    public override Listener Listen(Endpoint endpoint, TransportOptions options)
    {
        var address = endpoint.ToSocketEndPoint()
            ?? throw new InvalidSettingException("bind", endpoint.ToString(), "a server binds an address, not a name",
                "resolve the name first, or use *:port for all addresses");
        var text = endpoint.ToString();
        var file = endpoint is { IsUnix: true, IsAbstract: false } ? new UnixSocketFile(endpoint.Host) : null;
        file?.ClearStale(text);
        var socket = SocketTuning.CreateStream(address);
        try
        {
            SocketTuning.PrepareListener(socket, options, endpoint.IsWildcard);
            // What is meant for connections, too: a value that the kernel refuses must fail here, once, not end every
            // newcomer in silence.
            SocketTuning.TuneConnected(socket, options);
            socket.Bind(address);
            if (file is not null && options.UnixFileMode is { } mode)
                file.SetMode(mode);
            socket.Listen(Math.Clamp(options.Backlog, 0, ushort.MaxValue));
            var bound = endpoint.Port == 0 && socket.LocalEndPoint is IPEndPoint ip
                ? endpoint.WithPort(ip.Port)
                : endpoint;
            return new SocketListener(socket, bound, ClampBacklog(options.Backlog), options, file);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw BindFailure.Of(e, endpoint);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    public override async ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken)
    {
        var address = endpoint.ToSocketEndPoint()
            ?? throw new InvalidOperationException($"{endpoint} is not resolved.");
        var socket = SocketTuning.CreateStream(address);
        try
        {
            SocketTuning.PrepareClient(socket, options);
            if (options.Bind?.ToSocketEndPoint() is { } local)
                socket.Bind(local);
            await socket.ConnectAsync(address, cancellationToken).ConfigureAwait(false);
            if (Equals(socket.LocalEndPoint, socket.RemoteEndPoint) && address is IPEndPoint)
                throw SelfConnected(endpoint);
            SocketTuning.TuneConnected(socket, options);
            var localEndpoint = Endpoint.From(endpoint.Kind, socket.LocalEndPoint!);
            return new WireConnection(new SocketWire(socket), localEndpoint, endpoint, options.Time);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw Failures.Connect(e, endpoint.ToString());
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// The kernel can pick the very port that is being dialled as the source port; TCP's simultaneous open then joins
    /// the socket to itself, and it looks as if a server answered.
    /// </summary>
    private static ConnectException SelfConnected(Endpoint endpoint) => new(endpoint.ToString(), "ECONNREFUSED",
        "the socket connected to itself: no process listens there, and the kernel picked that port as the source",
        "start the server, or use a port outside net.ipv4.ip_local_port_range", 111);

    private static int ClampBacklog(int asked)
    {
        asked = Math.Clamp(asked, 0, ushort.MaxValue);
        return OperatingSystem.IsLinux() && File.Exists(SomaxconnPath)
            && int.TryParse(File.ReadAllText(SomaxconnPath), out var limit) ? Math.Min(asked, limit) : asked;
    }
}
