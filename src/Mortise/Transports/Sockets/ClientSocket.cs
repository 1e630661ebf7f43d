using System.Net;
using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise.Transports.Sockets;

/// <summary>A stream socket that is ready to be connected: created, tuned, bound; and how that fails.</summary>
internal static class ClientSocket
{
    /// <exception cref="ConnectException">An option or the local address was refused.</exception>
    public static Socket Create(Endpoint endpoint, EndPoint address, TransportOptions options)
    {
        var socket = SocketTuning.Create(endpoint, address);
        try
        {
            SocketTuning.PrepareClient(socket, options);
            SocketTuning.TuneConnected(socket, options);
            if (options.Bind?.ToSocketEndPoint() is { } local)
                socket.Bind(local);
            return socket;
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (e is SocketException failure)
                throw Failures.Connect(failure, endpoint.ToString());
            throw;
        }
    }

    /// <summary>
    /// The kernel can pick the very port that is being dialled as the source port; TCP's simultaneous open then joins
    /// the socket to itself, and it looks as if a server answered.
    /// </summary>
    public static ConnectException SelfConnected(Endpoint endpoint) => new(endpoint.ToString(), "ECONNREFUSED",
        "the socket connected to itself: no process listens there, and the kernel picked that port as the source",
        "start the server, or use a port outside net.ipv4.ip_local_port_range", 111);
}
