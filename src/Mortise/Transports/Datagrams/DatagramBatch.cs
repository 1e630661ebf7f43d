using System.Collections;
using Mortise.Transports.Datagrams;
using Mortise.Transports.Kernel;

namespace Mortise;

/// <summary>
/// Memory for some datagrams, used again and again: one system call fills it (recvmmsg(2)), one sends it
/// (sendmmsg(2)), and neither allocates. One call at a time may use a batch.
/// </summary>
/// <example><code>
/// var batch = new DatagramBatch(capacity: 64);
/// while (true)
/// {
///     await socket.ReceiveBatchAsync(batch);   // waits for one, takes all that are there
///     await socket.SendBatchAsync(batch);      // every sender gets its own back
/// }
/// </code></example>
public sealed class DatagramBatch : IReadOnlyList<Datagram>
{
    /// <summary>Room for every UDP datagram there is.</summary>
    public const int DatagramBytesMaxDefault = 65_536;

    private readonly Datagram[] _datagrams;
    private DatagramSocket? _receiver;

    /// <summary>Reserves the memory: <paramref name="capacity"/> × <paramref name="datagramBytesMax"/>.</summary>
    /// <param name="capacity">Datagrams, 1 to 1024: what one system call takes.</param>
    /// <param name="datagramBytesMax">Bytes of each, 0 to 1 MiB; a longer datagram is cut, and says so.</param>
    /// <exception cref="ArgumentOutOfRangeException">A number is outside its range.</exception>
    public DatagramBatch(int capacity = 64, int datagramBytesMax = DatagramBytesMaxDefault)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(capacity, DatagramCalls.MessagesMax);
        ArgumentOutOfRangeException.ThrowIfNegative(datagramBytesMax);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(datagramBytesMax, 1024 * 1024);
        DatagramBytesMax = datagramBytesMax;
        Vector = new MessageVector(capacity, datagramBytesMax);
        Places = new Datagram[capacity];
        _datagrams = [.. Enumerable.Range(0, capacity).Select(slot => new Datagram(this, slot))];
    }

    /// <summary>Datagrams there is room for.</summary>
    public int Capacity => _datagrams.Length;

    /// <summary>Bytes there are for each.</summary>
    public int DatagramBytesMax { get; }

    /// <summary>Datagrams received or added.</summary>
    public int Count { get; private set; }

    internal MessageVector Vector { get; }

    /// <summary>For a call that sends: which datagram has which place.</summary>
    internal Datagram[] Places { get; }

    internal SocketNames Names { get; } = new();

    internal EndpointKind Kind => _receiver?.Kind ?? EndpointKind.Udp;

    internal Endpoint? Local => _receiver?.LocalEndpoint;

    /// <summary>The datagrams in the order of their coming.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is none.</exception>
    public Datagram this[int index]
    {
        get
        {
            ArgumentOutOfRangeException.ThrowIfNegative(index);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(index, Count);
            return _datagrams[index];
        }
    }

    /// <summary>Adds a datagram to send: a copy of these bytes, to this peer or a connected socket's.</summary>
    /// <exception cref="ArgumentOutOfRangeException">More bytes than <see cref="DatagramBytesMax"/>.</exception>
    /// <exception cref="InvalidOperationException">The batch is full.</exception>
    public Datagram Add(ReadOnlySpan<byte> payload, Endpoint? to = null)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(payload.Length, DatagramBytesMax, nameof(payload));
        if (Count == Capacity)
            throw new InvalidOperationException($"The batch holds {Capacity} datagrams and is full; send it first.");
        var datagram = _datagrams[Count++];
        datagram.Write(payload, to);
        return datagram;
    }

    /// <summary>Adds one to send with this socket, by the way that another came.</summary>
    internal void Add(ReadOnlySpan<byte> payload, DatagramPath path, DatagramSocket sender)
    {
        _receiver = sender;
        _datagrams[Count++].Write(payload, path);
    }

    /// <summary>Takes one out, e.g. one that gets no answer; those after it move up.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is none.</exception>
    public void RemoveAt(int index)
    {
        var gone = this[index];
        _datagrams.AsSpan((index + 1)..Count).CopyTo(_datagrams.AsSpan(index));
        _datagrams[--Count] = gone;
    }

    /// <summary>Takes all out.</summary>
    public void Clear() => (Count, _receiver) = (0, null);

    /// <inheritdoc/>
    public IEnumerator<Datagram> GetEnumerator() => _datagrams.Take(Count).GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>The address that a datagram came to, on the port of the socket that received it.</summary>
    internal Endpoint LocalAt(ReadOnlySpan<byte> address) => Names.Read(Kind, address, Local?.Port ?? 0);

    /// <summary>Offers all the room to the kernel; until <c>Take</c> the batch is empty.</summary>
    internal void Offer(DatagramSocket receiver)
    {
        (Count, _receiver) = (0, receiver);
        for (var place = 0; place < Capacity; place++)
            Vector.Describe(place, _datagrams[place].Slot, MessageVector.NameBytes, PacketInfo.RoomBytes,
                DatagramBytesMax);
    }

    /// <summary>Takes what the kernel put into the first places.</summary>
    internal void Take(int count)
    {
        for (var place = 0; place < count; place++)
            _datagrams[place].Receive(place);
        Count = count;
    }

    /// <summary>Takes the one datagram that was received into the first buffer.</summary>
    internal void Take(ReceivedDatagram one)
    {
        _datagrams[0].Receive(one);
        Count = 1;
    }

    /// <summary>The buffer that <see cref="Take(ReceivedDatagram)"/> speaks of.</summary>
    internal Memory<byte> FirstBuffer => _datagrams[0].Buffer;

    /// <summary>True where a datagram's own address is one of this socket's.</summary>
    internal bool CameBy(DatagramSocket socket) => _receiver == socket;
}
