using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Managed;

/// <summary>A listening socket of the operating system, TCP or Unix.</summary>
internal sealed class SocketListener : Listener
{
    private const int IpProtoTcp = 6, TcpInfo = 11, UnackedOffset = 24;   // tcp(7), struct tcp_info

    private readonly Socket _socket;
    private readonly TransportOptions _options;
    private readonly UnixSocketFile? _file;

    public SocketListener(Socket socket, Endpoint endpoint, int backlog, TransportOptions options, UnixSocketFile? file)
    {
        _socket = socket;
        // Another acceptor may take what Poll saw; TryAccept must then say no, not wait.
        _socket.Blocking = false;
        _options = options;
        _file = file;
        Endpoint = endpoint;
        Backlog = backlog;
        Notes = file?.Notes ?? [];
    }

    public override Endpoint Endpoint { get; }

    public override int Backlog { get; }

    public override int AcceptQueueLength
    {
        get
        {
            if (!OperatingSystem.IsLinux() || _socket.ProtocolType != ProtocolType.Tcp)
                return -1;
            Span<byte> info = stackalloc byte[UnackedOffset + sizeof(int)];
            try
            {
                var bytes = _socket.GetRawSocketOption(IpProtoTcp, TcpInfo, info);
                return bytes == info.Length ? BitConverter.ToInt32(info[UnackedOffset..]) : -1;
            }
            catch (ObjectDisposedException)
            {
                return -1;
            }
        }
    }

    public override async ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            while (true)
            {
                var socket = await _socket.AcceptAsync(cancellationToken).ConfigureAwait(false);
                if (TryWelcome(socket, out var connection))
                    return connection;
            }
        }
        catch (SocketException e) when (e.SocketErrorCode != SocketError.OperationAborted)
        {
            throw AcceptFailure(e);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw new OperationCanceledException($"The listener on {Endpoint} was closed.", e);
        }
    }

    public override bool TryAccept([NotNullWhen(true)] out Connection? connection)
    {
        connection = null;
        try
        {
            while (_socket.Poll(0, SelectMode.SelectRead))
            {
                if (TryWelcome(_socket.Accept(), out connection))
                    return true;
            }

            return false;
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
        {
            return false;
        }
        catch (SocketException e)
        {
            throw AcceptFailure(e);
        }
    }

    public override void Dispose()
    {
        _socket.Dispose();
        _file?.Remove();
    }

    private MortiseException AcceptFailure(SocketException e)
    {
        var entry = ErrorCatalogue.From(e);
        return new MortiseException("accept", Endpoint.ToString(), entry.Symbol, entry.English.Meaning,
            entry.English.Tries[0], entry.Errno, e);
    }

    /// <summary>False when the peer vanished between the handshake and here: it is then nobody's connection.</summary>
    private bool TryWelcome(Socket socket, [NotNullWhen(true)] out Connection? connection)
    {
        try
        {
            SocketTuning.TuneConnected(socket, _options);
            var local = Endpoint.From(Endpoint.Kind, socket.LocalEndPoint!);
            var remote = Endpoint.From(Endpoint.Kind, socket.RemoteEndPoint!);
            connection = new WireConnection(new SocketWire(socket), local, remote, _options.Time);
            return true;
        }
        catch (SocketException)
        {
            socket.Dispose();
            connection = null;
            return false;
        }
    }
}
