using System.Net;
using System.Net.Sockets;

namespace Mortise.Transports.Sockets;

/// <summary>
/// A socket file to bind. The runtime deletes the file of a <see cref="UnixDomainSocketEndPoint"/> that it has bound
/// when the socket is closed, even if another server has put its own there; of this type it knows no file, and
/// <see cref="UnixSocketFile"/> decides.
/// </summary>
internal sealed class UnixFileEndPoint(string path) : EndPoint
{
    private readonly UnixDomainSocketEndPoint _address = new(path);

    public override AddressFamily AddressFamily => AddressFamily.Unix;

    public override SocketAddress Serialize() => _address.Serialize();

    public override EndPoint Create(SocketAddress socketAddress) => _address.Create(socketAddress);

    public override string ToString() => path;
}
