using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Managed;
using Mortise.Transports.Sockets;

namespace Mortise.Transports.Packets;

/// <summary>
/// UDP and Unix datagrams as connections with one peer each, and Unix sequenced packets: what is sent in one piece
/// arrives in one piece. <c>recvmmsg(2)</c> and System.Net.Sockets, on the thread pool.
/// </summary>
internal sealed class PacketTransport : Transport
{
    public override string Name => "packets";

    public override bool Carries(EndpointKind kind) =>
        kind is EndpointKind.Udp or EndpointKind.UnixDatagram or EndpointKind.UnixSeqPacket;

    public override Listener Listen(Endpoint endpoint, TransportOptions options) =>
        endpoint.Kind == EndpointKind.UnixSeqPacket
            ? new SocketListener(ListeningSocket.Open(endpoint, options), options, Sequenced) { Engine = Name }
            : new PeerListener(endpoint, options);

    public override async ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken)
    {
        if (endpoint.Kind != EndpointKind.UnixSeqPacket)
            return new SocketPackets(DatagramSocket.Connect(endpoint, options), endpoint, options.Time);
        var address = endpoint.ToSocketEndPoint()!;
        var socket = ClientSocket.Create(endpoint, address, options);
        try
        {
            await socket.ConnectAsync(address, cancellationToken).ConfigureAwait(false);
            return Sequenced(socket, Endpoint.From(endpoint.Kind, socket.LocalEndPoint), endpoint, options.Time);
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

    private static SocketPackets Sequenced(Socket socket, Endpoint local, Endpoint remote, TimeProvider time) =>
        new(socket, local, remote, time);
}
