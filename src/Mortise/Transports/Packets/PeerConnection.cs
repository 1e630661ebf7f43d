using Mortise.Telemetry;
using Mortise.Transports.Datagrams;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// What a socket for many peers exchanges with one of them: a peer is an address and port, and the address of ours that
/// it sends to. Nothing proves that a sender is who he says, so at first he is sent no more than came from him.
/// </summary>
internal sealed class PeerConnection(PeerListener listener, DatagramPath path, byte[] key, TimeProvider time)
    : PacketConnection(path.Local, path.Peer, time)
{
    private long _datagramsReceived;
    private long _datagramsSent;
    private long _bytesSent;
    private volatile bool _confirmed = listener.AllowAmplification;

    /// <summary>The way back.</summary>
    public DatagramPath Path => path;

    /// <summary>What finds it in the table.</summary>
    public byte[] Key => key;

    /// <summary>It has shown that it is there, so it need not make room for others.</summary>
    public bool IsConfirmed => _confirmed;

    /// <summary>Something came since this was set to false.</summary>
    public bool WasHeard { get; set; }

    /// <summary>A server has let it in.</summary>
    public bool HasPlace { get; private set; }

    internal override bool IsDatagram => true;

    internal override int PacketBytesMax { get; } =
        Math.Min(listener.Socket.BytesMax(path.Peer), DatagramBatch.DatagramBytesMaxDefault);

    protected override PacketSender Sender => listener.Sender;

    public override void ConfirmPeer() => _confirmed = true;

    internal override void Start(Action<Connection> serve, bool atHome)
    {
        HasPlace = true;
        base.Start(serve, atHome);
    }

    /// <summary>Takes what came from it. For one caller at a time, the socket's receiver.</summary>
    public Intake Receive(ReadOnlySpan<byte> datagram)
    {
        // First: the handler may answer before this returns.
        WasHeard = _datagramsReceived > 0;
        Volatile.Write(ref _datagramsReceived, _datagramsReceived + 1);
        CountReceived(datagram.Length);
        if (!datagram.IsEmpty)
            return Reader.TryAdd(datagram);
        // It carries no frame, and shows that its sender is there.
        return CloseReason is null && InputEndedFor is null ? Intake.Taken : Intake.Over;
    }

    /// <inheritdoc/>
    /// <remarks>Under the writer's gate.</remarks>
    internal override void Send(Block block)
    {
        if (_confirmed || IsCovered(block.Filled))
        {
            base.Send(block);
            return;
        }

        var bytes = block.Filled;
        BlockPool.Shared.Return(block);
        CountDropped(DropReason.Amplification);
        listener.TellAmplification(this, bytes);
    }

    internal override void CountDropped(DropReason reason) => listener.CountDropped(reason);

    internal override ConnectionException TooLong(int bytes) => listener.Socket.TooLong(bytes, path.Peer);

    protected override void Release() => listener.Remove(this);

    /// <summary>As many datagrams as came, and as many bytes: who forges a sender gains nothing by it.</summary>
    private bool IsCovered(int bytes)
    {
        if (_datagramsSent >= Volatile.Read(ref _datagramsReceived) || _bytesSent + bytes > BytesReceived)
            return false;
        _datagramsSent++;
        _bytesSent += bytes;
        return true;
    }
}
