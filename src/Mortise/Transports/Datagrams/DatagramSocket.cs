using System.Net;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports;

namespace Mortise;

/// <summary>Whole messages over UDP or Unix datagram sockets. It is no stream and has no pipes.</summary>
public sealed class DatagramSocket : IDisposable
{
    /// <summary>The largest UDP payload over IPv4: 65,535 less the IP and UDP headers.</summary>
    public const int UdpBytesMax = 65_507;

    private const int UdpOverV6BytesMax = 65_527; // an IPv6 header does not count its own 40 bytes
    private const int Edestaddrreq = 89, Eafnosupport = 97;

    private readonly Socket _socket;
    private readonly EndpointKind _kind;
    private readonly Endpoint? _peer;
    private string? _file;

    private DatagramSocket(Socket socket, EndpointKind kind, Endpoint? peer)
    {
        _socket = socket;
        _kind = kind;
        _peer = peer;
    }

    private bool IsV6 => _socket.AddressFamily == AddressFamily.InterNetworkV6;

    /// <summary>The kernel would say ENETUNREACH for some of these, which sends people to their routes.</summary>
    private bool IsForeign(Endpoint to) => _kind == EndpointKind.Udp && to.Address is { } address
        && address.AddressFamily != _socket.AddressFamily && !(IsV6 && _socket.DualMode);

    private string Limit => _kind == EndpointKind.Udp
        ? $"and one datagram carries at most {(IsV6 ? UdpOverV6BytesMax : UdpBytesMax)}"
        : $"and the send buffer holds {_socket.SendBufferSize}";

    /// <summary>The address bound, with the port that the kernel picked.</summary>
    public Endpoint LocalEndpoint => Endpoint.From(_kind, _socket.LocalEndPoint);

    /// <summary>Receives at an address.</summary>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static DatagramSocket Bind(Endpoint endpoint)
    {
        var (socket, address) = Create(endpoint);
        try
        {
            if (endpoint.IsDualStack)
                socket.DualMode = true;
            socket.Bind(address);
            var file = endpoint is { IsUnix: true, IsAbstract: false } ? endpoint.Host : null;
            return new DatagramSocket(socket, endpoint.Kind, null) { _file = file };
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw BindFailure.Of(e, endpoint);
        }
    }

    /// <summary>
    /// Fixes the peer: no packet is sent, but only its datagrams are received, and an ICMP refusal of an earlier
    /// datagram is reported (ECONNREFUSED) by the next call.
    /// </summary>
    /// <exception cref="ConnectException">There is no route, or no socket at the Unix path.</exception>
    public static DatagramSocket Connect(Endpoint endpoint, Endpoint? bind = null)
    {
        var (socket, address) = Create(endpoint);
        try
        {
            if (bind?.ToSocketEndPoint() is { } local)
                socket.Bind(local);
            else if (endpoint.IsUnix && OperatingSystem.IsLinux())
                // Without a name of our own the peer could not answer; an abstract one leaves no file behind.
                socket.Bind(new UnixDomainSocketEndPoint($"\0mortise-{Guid.NewGuid():N}"));
            socket.Connect(address);
            return new DatagramSocket(socket, endpoint.Kind, endpoint);
        }
        catch (SocketException e)
        {
            socket.Dispose();
            throw Failures.Connect(e, endpoint.ToString());
        }
    }

    /// <summary>Sends one datagram to the connected peer.</summary>
    /// <exception cref="ConnectionException">Too long (EMSGSIZE), or an earlier datagram was refused.</exception>
    public ValueTask SendAsync(ReadOnlyMemory<byte> datagram, CancellationToken cancellationToken = default) =>
        SendToAsync(datagram, _peer ?? throw Failures.Transfer("send", LocalEndpoint.ToString(), Edestaddrreq,
            "the socket has no peer; use SendToAsync, or Connect"), cancellationToken);

    /// <summary>Sends one datagram; it is taken whole or not at all.</summary>
    /// <exception cref="ConnectionException">Too long (EMSGSIZE), no route, or refused.</exception>
    public async ValueTask SendToAsync(ReadOnlyMemory<byte> datagram, Endpoint to,
        CancellationToken cancellationToken = default)
    {
        try
        {
            if (_peer is null && IsForeign(to))
                throw Failures.Transfer("send", to.ToString(), Eafnosupport,
                    $"the socket is bound to {LocalEndpoint}, the other family; bind udp://*:PORT for both");
            if (_peer is not null)
                await _socket.SendAsync(datagram, cancellationToken).ConfigureAwait(false);
            else
                await _socket.SendToAsync(datagram, SocketFlags.None, Address(to), cancellationToken)
                    .ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            var limit = e.SocketErrorCode == SocketError.MessageSize ? $"{datagram.Length} bytes, {Limit}" : null;
            throw Failure("send", to, e, limit);
        }
    }

    /// <summary>Waits for one datagram.</summary>
    /// <exception cref="ConnectionException">A connected peer refused an earlier datagram (ICMP port
    /// unreachable).</exception>
    public async ValueTask<ReceivedDatagram> ReceiveAsync(Memory<byte> buffer,
        CancellationToken cancellationToken = default)
    {
        try
        {
            if (_kind == EndpointKind.Udp)
            {
                // Only recvmsg(2) tells whether a datagram was cut; recvfrom would hand out the stump in silence.
                EndPoint any = new IPEndPoint(IsV6 ? IPAddress.IPv6Any : IPAddress.Any, 0);
                var message = await _socket.ReceiveMessageFromAsync(buffer, SocketFlags.None, any, cancellationToken)
                    .ConfigureAwait(false);
                return new ReceivedDatagram(message.ReceivedBytes, Endpoint.From(_kind, message.RemoteEndPoint),
                    (message.SocketFlags & SocketFlags.Truncated) != 0);
            }

            // .NET's recvmsg garbles a Unix sender's name. MSG_TRUNC asks Linux for the length before the cut instead.
            var whole = OperatingSystem.IsLinux() ? SocketFlags.Truncated : SocketFlags.None;
            var unix = await _socket.ReceiveFromAsync(buffer, whole, new UnixDomainSocketEndPoint("x"),
                cancellationToken).ConfigureAwait(false);
            return new ReceivedDatagram(Math.Min(unix.ReceivedBytes, buffer.Length),
                Endpoint.From(_kind, unix.RemoteEndPoint), unix.ReceivedBytes > buffer.Length);
        }
        catch (SocketException e)
        {
            throw Failure("recv", _peer ?? LocalEndpoint, e);
        }
    }

    /// <summary>Closes the socket and removes its Unix file; a second call does nothing.</summary>
    public void Dispose()
    {
        _socket.Dispose();
        if (Interlocked.Exchange(ref _file, null) is not { } file)
            return;
        try
        {
            File.Delete(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The folder went away or was locked after the bind; closing has nobody to tell.
        }
    }

    /// <summary>A stream is refused by RST, which the catalogue tells; a datagram by ICMP.</summary>
    private static ConnectionException Failure(string operation, Endpoint endpoint, SocketException e,
        string? more = null)
    {
        var known = Failures.Transfer(operation, endpoint.ToString(), e, more);
        return e.SocketErrorCode != SocketError.ConnectionRefused || endpoint.IsUnix ? known : new(operation,
            known.Endpoint, known.CloseReason, known.Symbol,
            "no process has this port: ICMP 'port unreachable' answered a datagram",
            "on that host look at `ss -lunp`: is the port there, and on which address?", known.Errno, e);
    }

    private static (Socket Socket, EndPoint Address) Create(Endpoint endpoint)
    {
        var type = endpoint.Kind is EndpointKind.Udp or EndpointKind.UnixDatagram
            ? SocketType.Dgram
            : throw new UnsupportedException("open", endpoint.ToString(), "this endpoint is not a datagram endpoint",
                "use udp:// or unixgram:");
        var address = Address(endpoint);
        return (new Socket(address.AddressFamily, type,
            endpoint.IsUnix ? ProtocolType.Unspecified : ProtocolType.Udp), address);
    }

    private static EndPoint Address(Endpoint endpoint) => endpoint.ToSocketEndPoint()
        ?? throw new InvalidSettingException("address", endpoint.ToString(), "a datagram needs an address, not a name",
            "resolve the name first");
}
