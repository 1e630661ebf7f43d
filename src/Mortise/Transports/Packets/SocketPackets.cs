using System.Buffers;
using System.Net.Sockets;
using Mortise.Errors;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// A connection of packets with a socket of its own: a client of datagrams, or either end of sequenced packets. While
/// the handler does not keep up, packets stay in the kernel.
/// </summary>
internal sealed class SocketPackets : PacketConnection
{
    private const int UnixHeaderBytes = 32; // what unix(7) sockets keep of their send buffer

    private readonly Socket _socket;
    private readonly DatagramSocket? _datagrams;
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Datagrams to and from one peer.</summary>
    public SocketPackets(DatagramSocket datagrams, Endpoint remote, TimeProvider time)
        : this(datagrams.Socket, datagrams.LocalEndpoint, remote, time, datagrams)
    {
    }

    public SocketPackets(Socket socket, Endpoint local, Endpoint remote, TimeProvider time,
        DatagramSocket? datagrams = null) : base(local, remote, time)
    {
        (_socket, _datagrams) = (socket, datagrams);
        _socket.Blocking = false;
        PacketBytesMax = datagrams?.BytesMax(remote) ?? socket.SendBufferSize - UnixHeaderBytes;
        Sender = new SocketSender(this);
        _ = Task.Run(ReceiveAllAsync);
    }

    internal override bool IsDatagram => _datagrams is not null;

    internal override Socket Socket => _socket;

    internal override int PacketBytesMax { get; }

    protected override PacketSender Sender { get; }

    protected override bool PeerFinished => _finished.Task.IsCompleted;

    internal override ConnectionException TooLong(int bytes) => _datagrams?.TooLong(bytes, RemoteEndpoint)
        ?? Failures.Transfer("send", RemoteEndpoint.ToString(), 90,
            $"{bytes} bytes, and one packet carries at most {PacketBytesMax}");

    /// <summary>Of sequenced packets the peer reads the end.</summary>
    internal override void FinishSending()
    {
        if (IsDatagram)
            return;
        try
        {
            _socket.Shutdown(SocketShutdown.Send);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The peer was faster, and reading tells so.
        }
    }

    protected override void Release()
    {
        if (_datagrams is not null)
            _datagrams.Dispose();
        else
            _socket.Dispose();
    }

    /// <summary>Closing with packets unread would be a reset, which can come before what was sent.</summary>
    protected override async Task LingerAsync(TimeSpan linger)
    {
        if (!IsDatagram && linger > TimeSpan.Zero)
            await _finished.Task.WaitAsync(linger, Time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task ReceiveAllAsync()
    {
        try
        {
            while (CloseReason is null && !PeerFinished)
            {
                if (Reader.IsFull)
                    await Reader.RoomAsync().ConfigureAwait(false);
                else if (!TryReceive())
                    await _socket.ReceiveAsync(Memory<byte>.Empty).ConfigureAwait(false); // waits, and takes nothing
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Fail("recv", e);
        }
    }

    /// <summary>Takes one packet; false where none is there.</summary>
    private bool TryReceive()
    {
        var size = RemoteEndpoint.IsUnix ? Peek() : DatagramBatch.DatagramBytesMaxDefault;
        if (size < 0)
            return false;
        var room = ArrayPool<byte>.Shared.Rent(Math.Max(1, size));
        try
        {
            var received = Received(_socket.Receive(room, SocketFlags.None, out var error), error);
            if (received > 0)
            {
                CountReceived(received);
                Reader.TryAdd(room.AsSpan(0, received), mustFit: false);
            }
            else if (received == 0 && !IsDatagram)
            {
                _finished.TrySetResult();
                Reader.EndInput();
            }

            return received >= 0;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(room);
        }
    }

    /// <summary>Bytes of the next packet, however long (MSG_PEEK with MSG_TRUNC); -1 where there is none.</summary>
    private int Peek()
    {
        Span<byte> one = stackalloc byte[1];
        return Received(_socket.Receive(one, SocketFlags.Peek | SocketFlags.Truncated, out var error), error);
    }

    private static int Received(int bytes, SocketError error) => error switch
    {
        SocketError.Success => bytes,
        SocketError.WouldBlock => -1,
        _ => throw new SocketException((int)error),
    };

    private void Fail(string operation, Exception error)
    {
        if (error is not SocketException failure || CloseReason is not null)
            return;
        var fault = Failures.Transfer(operation, RemoteEndpoint.ToString(), failure);
        EndFor(fault.CloseReason, fault);
    }

    /// <summary>One after the other, as the kernel takes them.</summary>
    private sealed class SocketSender(SocketPackets connection) : PacketSender(16, BlockPool.Shared)
    {
        protected override async ValueTask SendAsync(ReadOnlyMemory<Outgoing> packets)
        {
            for (var i = 0; i < packets.Length; i++)
            {
                var bytes = packets.Span[i].Bytes;
                connection.Settled(bytes.Length, await TrySendAsync(bytes).ConfigureAwait(false) ? bytes.Length : 0);
            }
        }

        private async ValueTask<bool> TrySendAsync(ReadOnlyMemory<byte> packet)
        {
            if (connection.CloseReason is not null)
                return false;
            try
            {
                connection._socket.Send(packet.Span, SocketFlags.None, out var error);
                if (error == SocketError.WouldBlock)
                    await connection._socket.SendAsync(packet).ConfigureAwait(false);
                else if (error != SocketError.Success)
                    throw new SocketException((int)error);
                return true;
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                connection.Fail("send", e);
                return false;
            }
        }
    }
}
