using System.Diagnostics.CodeAnalysis;
using System.Net.Sockets;
using Mortise.Transports.Pipes;
using Mortise.Transports.Sockets;

namespace Mortise.Transports.Managed;

/// <summary>What to make of an accepted socket.</summary>
internal delegate Connection MakeConnection(Socket socket, Endpoint local, Endpoint remote, TimeProvider time);

/// <summary>A listening socket of the operating system, TCP or Unix.</summary>
internal sealed class SocketListener : Listener
{
    private readonly ListeningSocket _listening;
    private readonly Socket _socket;
    private readonly TransportOptions _options;
    private readonly MakeConnection _make;

    public SocketListener(ListeningSocket listening, TransportOptions options, MakeConnection make)
    {
        _make = make;
        _listening = listening;
        _socket = listening.Socket;
        _options = options;
        Notes = listening.Notes;
    }

    public override Endpoint Endpoint => _listening.Endpoint;

    public override int Backlog => _listening.Backlog;

    public override int AcceptQueueLength => _listening.AcceptQueueLength;

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
            throw AcceptFailure.Of(e, Endpoint);
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
            throw AcceptFailure.Of(e, Endpoint);
        }
    }

    public override void Dispose() => _listening.Dispose();

    /// <summary>False when the peer vanished between the handshake and here: it is then nobody's connection.</summary>
    private bool TryWelcome(Socket socket, [NotNullWhen(true)] out Connection? connection)
    {
        try
        {
            if (!OperatingSystem.IsLinux()) // where accepted sockets inherit all of it from the listener
                SocketTuning.TuneConnected(socket, _options);
            var local = Endpoint.From(Endpoint.Kind, socket.LocalEndPoint!);
            var remote = Endpoint.From(Endpoint.Kind, socket.RemoteEndPoint!);
            connection = _make(socket, local, remote, _options.Time);
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
