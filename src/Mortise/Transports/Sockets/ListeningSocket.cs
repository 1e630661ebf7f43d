using System.Net;
using System.Net.Sockets;

namespace Mortise.Transports.Sockets;

/// <summary>
/// A stream socket that is bound and listens, TCP or Unix, with what goes with it: the address in force, the accept
/// queue, the socket's file. How connections are taken from it is the affair of whoever opened it.
/// </summary>
internal sealed class ListeningSocket : IDisposable
{
    private const string SomaxconnPath = "/proc/sys/net/core/somaxconn";
    private const int IpProtoTcp = 6, TcpInfo = 11, UnackedOffset = 24;   // tcp(7), struct tcp_info

    private readonly UnixSocketFile? _file;

    private ListeningSocket(Socket socket, Endpoint endpoint, int backlog, UnixSocketFile? file)
    {
        Socket = socket;
        Endpoint = endpoint;
        Backlog = backlog;
        _file = file;
    }

    /// <summary>Non-blocking: another acceptor may take what was seen to be waiting.</summary>
    public Socket Socket { get; }

    /// <summary>The address really bound.</summary>
    public Endpoint Endpoint { get; }

    /// <summary>The accept queue's length in force.</summary>
    public int Backlog { get; }

    /// <summary>What the newcomer should know, e.g. that a stale socket file was removed.</summary>
    public IReadOnlyList<string> Notes => _file?.Notes ?? [];

    /// <summary>Connections the kernel has completed that wait to be accepted, or -1 where it does not tell.</summary>
    public int AcceptQueueLength
    {
        get
        {
            if (!OperatingSystem.IsLinux() || Socket.ProtocolType != ProtocolType.Tcp)
                return -1;
            Span<byte> info = stackalloc byte[UnackedOffset + sizeof(int)];
            try
            {
                var bytes = Socket.GetRawSocketOption(IpProtoTcp, TcpInfo, info);
                return bytes == info.Length ? BitConverter.ToInt32(info[UnackedOffset..]) : -1;
            }
            catch (ObjectDisposedException)
            {
                return -1;
            }
        }
    }

    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    /// <exception cref="InvalidSettingException">The endpoint is a name, which nobody can bind.</exception>
    public static ListeningSocket Open(Endpoint endpoint, TransportOptions options)
    {
        var address = endpoint.ToSocketEndPoint()
            ?? throw new InvalidSettingException("bind", endpoint.ToString(), "a server binds an address, not a name",
                "resolve the name first, or use *:port for all addresses");
        var file = endpoint is { IsUnix: true, IsAbstract: false } ? new UnixSocketFile(endpoint.Host) : null;
        file?.ClearStale(endpoint.ToString(), SocketTuning.TypeOf(endpoint));
        var socket = SocketTuning.Create(endpoint, address);
        try
        {
            SocketTuning.PrepareListener(socket, options, endpoint.IsWildcard);
            // What is meant for connections, too: Linux hands it down to every accepted socket, and a value that the
            // kernel refuses must fail here, once, not end every newcomer in silence.
            SocketTuning.TuneConnected(socket, options);
            socket.Bind(file is null ? address : new UnixFileEndPoint(endpoint.Host));
            file?.Bound(options.UnixFileMode);
            socket.Listen(Math.Clamp(options.Backlog, 0, ushort.MaxValue));
            socket.Blocking = false;
            var bound = endpoint.Port == 0 && socket.LocalEndPoint is IPEndPoint ip
                ? endpoint.WithPort(ip.Port)
                : endpoint;
            return new ListeningSocket(socket, bound, ClampBacklog(options.Backlog), file);
        }
        catch (Exception e)
        {
            file?.Remove();
            socket.Dispose();
            if (e is SocketException failure)
                throw BindFailure.Of(failure, endpoint);
            throw;
        }
    }

    /// <summary>Closes the socket and removes its file; who waits in the queue is reset by the kernel.</summary>
    public void Dispose()
    {
        _file?.Remove(); // first: the file's number is ours only as long as the socket is open
        Socket.Dispose();
    }

    private static int ClampBacklog(int asked)
    {
        asked = Math.Clamp(asked, 0, ushort.MaxValue);
        return OperatingSystem.IsLinux() && File.Exists(SomaxconnPath)
            && int.TryParse(File.ReadAllText(SomaxconnPath), out var limit) ? Math.Min(asked, limit) : asked;
    }
}
