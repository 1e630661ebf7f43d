using System.Net;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Pipes;
using Mortise.Transports.Sockets;

namespace Mortise.Transports.Managed;

/// <summary>TCP and Unix streams through <see cref="System.Net.Sockets"/>: runs on every system .NET runs on.</summary>
internal sealed class ManagedTransport(string about) : Transport
{
    public override string Name => "managed";

    public override string About => about;

    public override bool Carries(EndpointKind kind) => 
        kind is EndpointKind.Tcp or EndpointKind.Tls or EndpointKind.Unix;

    public override Listener Listen(Endpoint endpoint, TransportOptions options) =>
        new SocketListener(ListeningSocket.Open(endpoint, options), options, Make) { Engine = About };

    public override async ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken)
    {
        var address = endpoint.ToSocketEndPoint()
            ?? throw new InvalidOperationException($"{endpoint} is not resolved.");
        var socket = ClientSocket.Create(endpoint, address, options);
        try
        {
            await socket.ConnectAsync(address, cancellationToken).ConfigureAwait(false);
            if (Equals(socket.LocalEndPoint, socket.RemoteEndPoint) && address is IPEndPoint)
                throw ClientSocket.SelfConnected(endpoint);
            var localEndpoint = Endpoint.From(endpoint.Kind, socket.LocalEndPoint!);
            return Make(socket, localEndpoint, endpoint, options.Time);
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

    private static WireConnection Make(Socket socket, Endpoint local, Endpoint remote, TimeProvider time) =>
        new(new SocketWire(socket), local, remote, time);
}
