using System.Net.Sockets;
using Mortise.Transports.Datagrams;
using Mortise.Transports.Kernel;

namespace Mortise;

/// <summary>
/// One datagram of a <see cref="DatagramBatch"/>: bytes in the batch's memory, and the addresses at both ends. A
/// datagram that was received is its own answer: sent, it goes back to where it came from, from where it came to.
/// </summary>
public sealed class Datagram
{
    private readonly DatagramBatch _batch;
    private Endpoint? _peer, _local;
    private int _nameLength, _controlLength;

    internal Datagram(DatagramBatch batch, int slot)
    {
        _batch = batch;
        Slot = slot;
        Buffer = batch.Vector.Payload(slot);
    }

    /// <summary>All the room there is for one datagram: <see cref="DatagramBatch.DatagramBytesMax"/>.</summary>
    public Memory<byte> Buffer { get; }

    /// <summary>
    /// Bytes of <see cref="Buffer"/> that are the datagram. 0 is a legal message, not the end of anything.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Set to less than 0 or more than the buffer holds.</exception>
    public int Length
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfNegative(value);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Buffer.Length);
            field = value;
        }
    }

    /// <summary>The datagram: the first <see cref="Length"/> bytes of <see cref="Buffer"/>.</summary>
    public Memory<byte> Payload => Buffer[..Length];

    /// <summary>
    /// Who sent it, and to whom it is sent; set it to send it to somebody else. A connected socket sends to its own
    /// peer whatever stands here. The host is empty where there is nobody: a Unix sender without a name.
    /// </summary>
    public Endpoint Peer
    {
        get => _peer ??= _batch.Names.Read(_batch.Kind, Name);
        set
        {
            ArgumentNullException.ThrowIfNull(value);
            if (ReferenceEquals(value, _peer))
                return;
            _peer = value;
            _nameLength = 0;
        }
    }

    /// <summary>
    /// Which of this host's addresses it came to; the answer leaves from there. A socket bound to all addresses knows
    /// it from the packet (IP_PKTINFO). Null for a datagram that was not received.
    /// </summary>
    public Endpoint? Local => _controlLength == 0
        ? _local
        : _local ??= _batch.LocalAt(PacketInfo.Address(_batch.Vector.Control(Slot)));

    /// <summary>The datagram was longer than <see cref="Buffer"/> and its rest is lost (MSG_TRUNC).</summary>
    public bool Truncated { get; private set; }

    /// <summary>Why the last send left it behind; null where it went.</summary>
    public ConnectionException? Failure { get; internal set; }

    /// <summary>Where it lies in the batch's memory.</summary>
    internal int Slot { get; }

    private ReadOnlySpan<byte> Name => _batch.Vector.Name(Slot)[.._nameLength];

    /// <summary>Takes what the kernel wrote for this place of a call.</summary>
    internal void Receive(int place)
    {
        (_nameLength, var controlLength, Length, Truncated) = _batch.Vector.Received(place);
        _controlLength = PacketInfo.TurnAround(_batch.Vector.Control(Slot), controlLength);
        (_peer, _local, Failure) = (null, _controlLength == 0 ? _batch.Local : null, null);
    }

    /// <summary>Takes what the system said of one that was received into <see cref="Buffer"/>.</summary>
    internal void Receive(ReceivedDatagram one)
    {
        (Length, Truncated, Failure) = (one.Length, one.Truncated, null);
        (_peer, _local, _nameLength, _controlLength) = (one.From, one.Local, 0, 0);
    }

    /// <summary>Both its ends, for who keeps them.</summary>
    internal DatagramPath Path => new(Peer, Local ?? Peer, Name, _batch.Vector.Control(Slot)[.._controlLength]);

    /// <summary>Writes what tells its two ends from all others; how many bytes that is.</summary>
    internal int WriteKey(Span<byte> key) => _nameLength == 0
        ? DatagramPath.WriteKey(Peer, Local, key)
        : DatagramPath.WriteKey(Name, _controlLength == 0 ? [] : PacketInfo.Address(_batch.Vector.Control(Slot)), key);

    /// <summary>Becomes a new datagram, on the way back.</summary>
    internal void Write(ReadOnlySpan<byte> payload, DatagramPath path)
    {
        Write(payload, path.Peer);
        path.Name.CopyTo(_batch.Vector.Name(Slot));
        path.Control.CopyTo(_batch.Vector.Control(Slot));
        (_nameLength, _controlLength) = (path.Name.Length, path.Control.Length);
    }

    /// <summary>Becomes a new datagram.</summary>
    internal void Write(ReadOnlySpan<byte> payload, Endpoint? to)
    {
        Length = payload.Length;
        payload.CopyTo(Buffer.Span);
        (Truncated, Failure, _local, _controlLength) = (false, null, null, 0);
        if (to is not null)
            Peer = to;
        else
            (_peer, _nameLength) = (null, 0);
    }

    /// <summary>Writes the peer's name for a socket of this family; false where there is nobody.</summary>
    internal bool Aim(AddressFamily family)
    {
        if (!SocketNames.Suits(Name, family))
            _nameLength = SocketNames.Write(Peer, family, _batch.Vector.Name(Slot));
        return _nameLength > 0;
    }

    /// <summary>Takes this place in a call that sends; the socket that received it answers from its address.</summary>
    internal void Describe(int place, bool toPeer, bool fromLocal) => _batch.Vector.Describe(place, Slot,
        toPeer ? _nameLength : 0, fromLocal ? _controlLength : 0, Length);
}
