using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Mortise.Errors;
using Mortise.Telemetry;
using Mortise.Transports;
using Mortise.Transports.Datagrams;
using Mortise.Transports.Sockets;

namespace Mortise;

/// <summary>Whole messages over UDP or Unix datagram sockets. It is no stream and has no pipes.</summary>
/// <remarks>
/// One datagram at a time, or many with <see cref="ReceiveBatchAsync"/> and <see cref="SendBatchAsync"/>. A call that
/// waits when the socket is closed, and any call after that, ends with a <see cref="ConnectionException"/> whose reason
/// is <see cref="CloseReason.Local"/>.
/// </remarks>
public sealed partial class DatagramSocket : IDisposable
{
    /// <summary>The largest UDP payload over IPv4: 65,535 less the IP and UDP headers.</summary>
    public const int UdpBytesMax = 65_507;

    private const int UdpOverV6BytesMax = 65_527; // an IPv6 header does not count its own 40 bytes
    private const int UnixHeaderBytes = 32;      // what unix(7) sockets keep of their send buffer
    private const int Eintr = 4, Eagain = 11, Edestaddrreq = 89, Emsgsize = 90, Eafnosupport = 97;

    private readonly Socket _socket;
    private readonly SafeHandle _handle;
    private readonly Endpoint? _peer;
    private readonly bool _isDual;
    private readonly ServerCounters? _counters;
    private UnixSocketFile? _file;
    private long _drops;

    private DatagramSocket(Socket socket, Endpoint local, Endpoint? peer, bool counts = true)
    {
        (_socket, _handle, _peer, Kind, LocalEndpoint) = (socket, socket.SafeHandle, peer, local.Kind, local);
        _isDual = socket.AddressFamily == AddressFamily.InterNetworkV6 && socket.DualMode;
        if (LocalEndpoint.IsWildcard)
            DatagramKernel.AskForLocalAddresses(socket);
        if (peer is not null || !counts)
            return; // a client's traffic is not the server's
        _counters = new ServerCounters();
        _counters.Probe(Metrics.Dropped, () => KernelDrops ?? 0, (int)DropReason.ReceiveQueue);
    }

    /// <summary>The address bound, with the port that the kernel picked.</summary>
    public Endpoint LocalEndpoint { get; }

    /// <summary>
    /// Datagrams that the kernel threw away since the socket was made, because they came faster than they were received
    /// and the receive buffer (<see cref="TransportOptions.ReceiveBufferBytes"/>) was full: the column <c>drops</c> of
    /// /proc/net/udp. Null where the system does not tell (it tells on Linux).
    /// </summary>
    public long? KernelDrops => DatagramKernel.ReadDrops(_socket) is { } drops ? _drops = drops
        : OperatingSystem.IsLinux() ? _drops : null;

    /// <summary>What the newcomer should know, e.g. that a stale socket file was removed.</summary>
    public IReadOnlyList<string> Notes => _file?.Notes ?? [];

    internal EndpointKind Kind { get; }

    /// <summary>The socket itself, for who receives and sends with it alone.</summary>
    internal Socket Socket => _socket;

    /// <summary>One datagram to this peer carries no more bytes.</summary>
    internal int BytesMax(Endpoint to) => Kind != EndpointKind.Udp ? _socket.SendBufferSize - UnixHeaderBytes
        : to.Address?.AddressFamily == AddressFamily.InterNetworkV6 ? UdpOverV6BytesMax : UdpBytesMax;

    /// <summary>The failure of a datagram that is too long to be tried.</summary>
    internal ConnectionException TooLong(int bytes, Endpoint to) =>
        Failures.Transfer("send", to.ToString(), Emsgsize, Limit(bytes, to));

    /// <summary>Receives at an address.</summary>
    /// <param name="endpoint"><c>udp://</c> or <c>unixgram:</c>.</param>
    /// <param name="options">Buffers, interface, sharing of the port, permissions; what is a stream's is left.</param>
    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public static DatagramSocket Bind(Endpoint endpoint, TransportOptions? options = null) =>
        Bind(endpoint, options, counts: true);

    /// <summary>Where sessions count what they receive, the socket does not.</summary>
    internal static DatagramSocket Bind(Endpoint endpoint, TransportOptions? options, bool counts)
    {
        options ??= new TransportOptions();
        var (socket, address) = DatagramKernel.Create(endpoint);
        var file = endpoint is { IsUnix: true, IsAbstract: false } ? new UnixSocketFile(endpoint.Host) : null;
        try
        {
            file?.ClearStale(endpoint.ToString(), SocketType.Dgram);
            SocketTuning.PrepareListener(socket, options, endpoint.IsDualStack);
            DatagramKernel.KeepReceiving(socket);
            Tune(socket, options);
            socket.Bind(file is null ? address : new UnixFileEndPoint(endpoint.Host));
            file?.Bound(options.UnixFileMode);
            var bound = socket.LocalEndPoint is IPEndPoint ip ? endpoint.WithPort(ip.Port) : endpoint;
            return new DatagramSocket(socket, bound, peer: null, counts) { _file = file };
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

    /// <summary>
    /// Fixes the peer: no packet is sent, but only its datagrams are received, and an ICMP refusal of an earlier
    /// datagram is reported (ECONNREFUSED) by the next call.
    /// </summary>
    /// <param name="endpoint"><c>udp://</c> or <c>unixgram:</c>.</param>
    /// <param name="options">Local address, buffers and interface; what is a stream's is left.</param>
    /// <exception cref="ConnectException">There is no route, or no socket at the Unix path.</exception>
    public static DatagramSocket Connect(Endpoint endpoint, TransportOptions? options = null)
    {
        var (socket, address) = DatagramKernel.Create(endpoint);
        try
        {
            SocketTuning.PrepareClient(socket, options ??= new TransportOptions());
            Tune(socket, options);
            if (options.Bind?.ToSocketEndPoint() is { } local)
                socket.Bind(local);
            else if (endpoint.IsUnix && OperatingSystem.IsLinux())
                // Without a name of our own the peer could not answer; an abstract one leaves no file behind.
                socket.Bind(new UnixDomainSocketEndPoint($"\0mortise-{Guid.NewGuid():N}"));
            socket.Connect(address);
            return new DatagramSocket(socket, Endpoint.From(endpoint.Kind, socket.LocalEndPoint), endpoint);
        }
        catch (Exception e)
        {
            socket.Dispose();
            if (e is SocketException failure)
                throw Failures.Connect(failure, endpoint.ToString());
            throw;
        }
    }

    /// <summary>The kernel's buffers in bytes; Linux shows the double of what was asked for.</summary>
    /// <exception cref="ObjectDisposedException">The socket is closed.</exception>
    public (int Send, int Receive) GetSocketBuffers() => (_socket.SendBufferSize, _socket.ReceiveBufferSize);

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
        ArgumentNullException.ThrowIfNull(to);
        try
        {
            if (_peer is null && IsForeign(to))
                throw Foreign(to);
            if (_peer is not null)
                await _socket.SendAsync(datagram, cancellationToken).ConfigureAwait(false);
            else
                await _socket.SendToAsync(datagram, SocketFlags.None, DatagramKernel.Address(to), cancellationToken)
                    .ConfigureAwait(false);
            CountSent(datagram.Length);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            var tooLong = e is SocketException { SocketErrorCode: SocketError.MessageSize };
            throw Failure("send", to, e, tooLong ? Limit(datagram.Length, to) : null);
        }
    }

    /// <summary>Waits for one datagram.</summary>
    /// <exception cref="ConnectionException">A connected peer refused an earlier datagram (ICMP port
    /// unreachable), or the socket was closed.</exception>
    public async ValueTask<ReceivedDatagram> ReceiveAsync(Memory<byte> buffer,
        CancellationToken cancellationToken = default)
    {
        try
        {
            var received = Kind == EndpointKind.Udp
                ? await ReceiveUdpAsync(buffer, cancellationToken).ConfigureAwait(false)
                : await ReceiveUnixAsync(buffer, cancellationToken).ConfigureAwait(false);
            CountReceived(1, received.Length, received.Truncated ? 1 : 0);
            return received;
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            throw Failure("recv", _peer ?? LocalEndpoint, e);
        }
    }

    /// <summary>Closes the socket and removes its Unix file; a second call does nothing.</summary>
    public void Dispose()
    {
        _ = KernelDrops; // what it counted so far stays counted
        _file?.Remove(); // first: the file's number is ours only as long as the socket is open
        _socket.Dispose();
        _counters?.Dispose();
    }

    private async ValueTask<ReceivedDatagram> ReceiveUdpAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        // Only recvmsg(2) tells whether a datagram was cut; recvfrom would hand out the stump in silence.
        EndPoint any = new IPEndPoint(_socket.AddressFamily == AddressFamily.InterNetworkV6
            ? IPAddress.IPv6Any : IPAddress.Any, 0);
        var message = await _socket.ReceiveMessageFromAsync(buffer, SocketFlags.None, any, cancellationToken)
            .ConfigureAwait(false);
        var local = LocalEndpoint.IsWildcard && message.PacketInformation.Address is { } address
            ? LocalEndpoint.WithAddress(address)
            : LocalEndpoint;
        return new(message.ReceivedBytes, Endpoint.From(Kind, message.RemoteEndPoint), local,
            (message.SocketFlags & SocketFlags.Truncated) != 0);
    }

    private async ValueTask<ReceivedDatagram> ReceiveUnixAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        // .NET's recvmsg garbles a Unix sender's name. MSG_TRUNC asks Linux for the length before the cut instead.
        var whole = OperatingSystem.IsLinux() ? SocketFlags.Truncated : SocketFlags.None;
        var unix = await _socket.ReceiveFromAsync(buffer, whole, new UnixDomainSocketEndPoint("x"),
            cancellationToken).ConfigureAwait(false);
        return new(Math.Min(unix.ReceivedBytes, buffer.Length), Endpoint.From(Kind, unix.RemoteEndPoint),
            LocalEndpoint, unix.ReceivedBytes > buffer.Length);
    }

    /// <summary>The kernel would say ENETUNREACH for some of these, which sends people to their routes.</summary>
    private bool IsForeign(Endpoint to) => to.Address is { } address && Kind == EndpointKind.Udp && !_isDual
        && address.AddressFamily != _socket.AddressFamily;

    private ConnectionException Foreign(Endpoint to) => Failures.Transfer("send", to.ToString(), Eafnosupport,
        $"the socket is bound to {LocalEndpoint}, the other family; bind udp://*:PORT for both");

    /// <summary>A dual-stack socket reaches an IPv4 peer by IPv4, with its limit.</summary>
    private string Limit(int bytes, Endpoint to) => Kind != EndpointKind.Udp
        ? $"{bytes} bytes, and the send buffer holds {_socket.SendBufferSize}"
        : $"{bytes} bytes, and one datagram carries at most "
            + BytesMax(to);

    private static ConnectionException Failure(string operation, Endpoint endpoint, Exception cause,
        string? more = null) => cause is SocketException { SocketErrorCode: not SocketError.OperationAborted } e
        ? Failures.Transfer(operation, endpoint.ToString(), e, more)
        : Failures.Closed(operation, endpoint.ToString(), CloseReason.Local, "the datagram socket was closed", cause);

    private void CountReceived(int datagrams, long bytes, int truncated)
    {
        _counters?.Add(Metrics.FramesReceived, datagrams);
        _counters?.Add(Metrics.BytesReceived, bytes);
        if (truncated > 0)
            _counters?.Dropped(DropReason.Truncated, truncated);
    }

    private void CountSent(long bytes) => _counters?.Add(Metrics.BytesSent, bytes);
}
