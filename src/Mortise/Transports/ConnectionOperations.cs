using System.Buffers;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using Mortise.Errors;
using Mortise.Telemetry;

namespace Mortise;

/// <summary>The calls of the socket tutorials, for those who ask for bytes rather than pipes or messages.</summary>
public abstract partial class Connection
{
    /// <summary>Beside the connections: who is not behind a proxy pays nothing for it.</summary>
    private static readonly ConditionalWeakTable<Connection, ProxyHeader> s_proxies = new();

    /// <summary>
    /// What the proxy in front told, and the proxy's own address (<see cref="ProxyHeader.Via"/>); null where no PROXY
    /// header was read (<see cref="ServerOptions.ProxyProtocol"/>).
    /// </summary>
    public ProxyHeader? Proxy => s_proxies.TryGetValue(this, out var header) ? header : null;

    /// <summary>From now on this is a connection of whom the proxy speaks for.</summary>
    internal void Tell(ProxyHeader header)
    {
        s_proxies.Add(this, header);
        if (header is { Source: { } source, Destination: { } destination })
            (RemoteEndpoint, LocalEndpoint) = (source.As(RemoteEndpoint.Kind), destination.As(LocalEndpoint.Kind));
    }

    /// <summary>
    /// Says that the peer receives what is sent to its address, because it has repeated something that only a receiver
    /// can know, e.g. a random number. A datagram's sender may be forged: until then it is sent no more datagrams and
    /// no more bytes than came from it (<see cref="TransportOptions.AllowAmplification"/>), and at
    /// <see cref="ServerOptions.MaxConnections"/> it may have to make room. Over other transports it does nothing.
    /// </summary>
    public virtual void ConfirmPeer()
    {
    }

    /// <summary>Each read gives one packet, and each message leaves as one.</summary>
    internal virtual bool KeepsBoundaries => false;

    /// <summary>Packets may be lost, senders forged, and nobody says goodbye: UDP and Unix datagrams.</summary>
    internal virtual bool IsDatagram => false;

    /// <summary>For a datagram that is given up; a stream loses nothing.</summary>
    internal virtual void CountDropped(DropReason reason)
    {
    }

    /// <summary>
    /// Receives what is there, at least one byte; 0 = the peer finished sending (FIN), see <c>recv(2)</c>.
    /// </summary>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        AtHome(TakeAsync(buffer, cancellationToken));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> TakeAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        if (buffer.IsEmpty)
            return 0;
        var result = await Input.ReadAsync(cancellationToken).ConfigureAwait(false);
        var part = result.Buffer.Slice(0, Math.Min(buffer.Length, result.Buffer.Length));
        part.CopyTo(buffer.Span);
        var received = (int)part.Length; // afterwards the blocks, and their lengths, are somebody else's
        Input.AdvanceTo(part.End);
        // Otherwise 0 would say that the peer finished.
        return received > 0 || !result.IsCanceled ? received : throw new OperationCanceledException();
    }

    /// <summary>
    /// Fills several buffers in order (scatter, <c>readv(2)</c>); the bytes received in all, 0 at the end.
    /// </summary>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public ValueTask<int> ReceiveAsync(IReadOnlyList<Memory<byte>> buffers,
        CancellationToken cancellationToken = default) => AtHome(TakeAsync(buffers, cancellationToken));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> TakeAsync(IReadOnlyList<Memory<byte>> buffers, CancellationToken cancellationToken)
    {
        var result = await Input.ReadAsync(cancellationToken).ConfigureAwait(false);
        var rest = result.Buffer;
        foreach (var buffer in buffers)
        {
            var part = rest.Slice(0, Math.Min(buffer.Length, rest.Length));
            part.CopyTo(buffer.Span);
            rest = rest.Slice(part.End);
        }

        var received = (int)(result.Buffer.Length - rest.Length);
        Input.AdvanceTo(rest.Start);
        return received > 0 || !result.IsCanceled ? received : throw new OperationCanceledException();
    }

    /// <summary>Waits until the whole buffer is filled, as MSG_WAITALL does in C (.NET has no such flag).</summary>
    /// <exception cref="FrameException">The stream ended before; it says how many bytes came and how many were
    /// due.</exception>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public ValueTask ReceiveExactlyAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        AtHome(FillAsync(buffer, cancellationToken));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask FillAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        for (var have = 0; have < buffer.Length;)
        {
            var received = await TakeAsync(buffer[have..], cancellationToken).ConfigureAwait(false);
            if (received == 0)
                throw new FrameException(Mortise.CloseReason.UnexpectedEof,
                    $"the stream ended after {have} of {buffer.Length} bytes", endpoint: RemoteEndpoint.ToString())
                { HaveBytes = have, NeedBytes = buffer.Length };
            have += received;
        }
    }

    /// <summary>Looks at what comes next without consuming it (MSG_PEEK); 0 = the peer finished.</summary>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public ValueTask<int> PeekAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
        AtHome(LookAsync(buffer, cancellationToken));

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> LookAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        var result = await Input.ReadAsync(cancellationToken).ConfigureAwait(false);
        var part = result.Buffer.Slice(0, Math.Min(buffer.Length, result.Buffer.Length));
        part.CopyTo(buffer.Span);
        Input.AdvanceTo(result.Buffer.Start, result.Buffer.Start);
        return !part.IsEmpty || !result.IsCanceled ? (int)part.Length : throw new OperationCanceledException();
    }

    /// <summary>Blocks the calling thread until bytes come; 0 = the peer finished.</summary>
    /// <exception cref="TimedOutException">Nothing came within <paramref name="timeout"/>.</exception>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public int Receive(Memory<byte> buffer, TimeSpan timeout)
    {
        ThrowIfHome("recv");
        using var expired = new CancellationTokenSource(timeout, Time);
        try
        {
            return ReceiveAsync(buffer, expired.Token).AsTask().GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            throw new TimedOutException("recv", RemoteEndpoint.ToString(),
                $"nothing was received within {timeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>Blocks the calling thread until the kernel has taken all bytes.</summary>
    /// <exception cref="TimedOutException">The peer did not take them within <paramref name="timeout"/>; they stay
    /// queued.</exception>
    /// <exception cref="ConnectionException">The connection was reset or is over.</exception>
    public void Send(ReadOnlyMemory<byte> bytes, TimeSpan timeout)
    {
        ThrowIfHome("send");
        using var expired = new CancellationTokenSource(timeout, Time);
        try
        {
            SendAsync(bytes, expired.Token).AsTask().GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            throw new TimedOutException("send", RemoteEndpoint.ToString(),
                $"the peer did not take the bytes within {timeout.TotalSeconds:0.###} s");
        }
    }

    /// <summary>Sends one urgent byte (MSG_OOB, RFC 6093: one byte at most is outstanding); TCP only.</summary>
    /// <exception cref="UnsupportedException">The connection is not TCP.</exception>
    /// <exception cref="ConnectionException">The connection failed, or its queue is full (EAGAIN).</exception>
    public void SendUrgent(byte value)
    {
        try
        {
            TcpSocket("send urgent").Send([value], SocketFlags.OutOfBand);
        }
        catch (SocketException e)
        {
            throw Failures.Transfer("send urgent", RemoteEndpoint.ToString(), e);
        }
    }

    /// <summary>
    /// Takes the urgent byte if one has arrived; the ordinary stream is not touched. TCP only, with
    /// <see cref="TransportOptions.UrgentData"/>.
    /// </summary>
    /// <exception cref="UnsupportedException">The connection is not TCP, or its engine receives ahead.</exception>
    public bool TryReceiveUrgent(out byte value)
    {
        if (ReceivesAhead)
            throw new UnsupportedException("receive urgent", RemoteEndpoint.ToString(),
                "this engine receives ahead, and the kernel then discards urgent bytes",
                "set TransportOptions.UrgentData before listening or connecting");
        Span<byte> one = stackalloc byte[1];
        var received = TcpSocket("receive urgent").Receive(one, SocketFlags.OutOfBand, out var error);
        value = one[0];
        return error == SocketError.Success && received == 1;
    }

    /// <summary>
    /// What the kernel knows of this TCP connection (TCP_INFO, <c>tcp(7)</c>), without any privilege.
    /// </summary>
    /// <exception cref="UnsupportedException">Not TCP, or not Linux.</exception>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public TcpInfo GetTcpInfo() => TcpInfo.Read(TcpSocket("read TCP_INFO"), RemoteEndpoint.ToString());

    /// <summary>Who is at the other end of a Unix socket (SO_PEERCRED, <c>unix(7)</c>).</summary>
    /// <exception cref="UnsupportedException">Not a Unix socket, or not Linux.</exception>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public PeerCredentials GetPeerCredentials()
    {
        ThrowIfEnded("read SO_PEERCRED");
        return PeerCredentials.Read(Socket, RemoteEndpoint.ToString());
    }

    /// <summary>The kernel's buffers in force, in bytes; Linux shows double of what was asked.</summary>
    /// <exception cref="UnsupportedException">There is no kernel socket underneath.</exception>
    /// <exception cref="ConnectionException">The connection is over.</exception>
    public (int SendBytes, int ReceiveBytes) GetSocketBuffers()
    {
        ThrowIfEnded("getsockopt");
        return Socket is { } socket
            ? (socket.SendBufferSize, socket.ReceiveBufferSize)
            : throw new UnsupportedException("getsockopt", RemoteEndpoint.ToString(), "no kernel socket is underneath");
    }

    /// <summary>
    /// The tick at which the peer was active last. Of a session that reads ahead of its handler bytes do not tell that:
    /// they may be heartbeats, and none are held while the handler is at work.
    /// </summary>
    internal long ActiveTick => _frames is not { TellsActivity: true, BegunAt: < 0 } frames ? ReceivedTick
        : frames.IsAtWork ? _ticks.Value : TickOf(frames.ActiveTick);

    /// <summary>From now on a session says when its peer is active.</summary>
    internal void TellActivity(bool isAtWork)
    {
        var frames = _frames ??= new Frames();
        frames.ActiveTick = (int)_ticks.Value;
        (frames.TellsActivity, frames.IsAtWork) = (true, isAtWork);
    }

    /// <summary>It said something just now.</summary>
    internal void NoteActive() => _frames!.ActiveTick = (int)_ticks.Value;

    /// <summary>A wait for the loop on the loop would never end.</summary>
    private void ThrowIfHome(string operation)
    {
        if (IsHomeThread)
            throw new InvalidOperationException($"A blocking {operation} on the event loop of its own connection would "
                + "wait for ever: await the call, or set Dispatch.ThreadPool.");
    }

    private Socket TcpSocket(string operation)
    {
        ThrowIfEnded(operation);
        return Socket is { ProtocolType: ProtocolType.Tcp } socket
            ? socket
            : throw new UnsupportedException(operation, RemoteEndpoint.ToString(), "only TCP has it",
                "connect with tcp://");
    }
}
