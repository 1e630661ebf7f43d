using System.Net.Sockets;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Managed;

/// <summary>One connected stream socket of the operating system.</summary>
internal sealed class SocketWire : Wire
{
    private readonly Socket _socket;
    private readonly Readiness _readable;

    public SocketWire(Socket socket)
    {
        _socket = socket;
        _socket.Blocking = false;
        _readable = new Readiness(socket);
        _readable.SetBuffer([], 0, 0);
    }

    public override Socket Socket => _socket;

    public override int TryReceive(Memory<byte> buffer)
    {
        var received = _socket.Receive(buffer.Span, SocketFlags.None, out var error);
        return error switch
        {
            SocketError.Success => received,
            SocketError.WouldBlock => -1,
            _ => throw new SocketException((int)error),
        };
    }

    public override ValueTask WaitReadableAsync() => _readable.WaitAsync();

    public override void WakeReader() => _readable.Wake();

    public override int TrySend(ReadOnlyMemory<byte> bytes) =>
        Taken(_socket.Send(bytes.Span, SocketFlags.None, out var error), error);

    public override int TrySend(IList<ArraySegment<byte>> buffers) =>
        Taken(_socket.Send(buffers, SocketFlags.None, out var error), error);

    public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => _socket.SendAsync(bytes, SocketFlags.None);

    public override void ShutdownSend() => _socket.Shutdown(SocketShutdown.Send);

    public override void Close(bool reset)
    {
        // Unix sockets have no reset of this kind: the peer sees the end of the stream, or ECONNRESET if it was
        // sending.
        if (reset && _socket.AddressFamily != AddressFamily.Unix)
        {
            try
            {
                _socket.LingerState = new LingerOption(enable: true, seconds: 0);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // The peer's reset came first, so there is nothing left to reset.
            }
        }

        _socket.Dispose();
        // A pending wait finishes it later; without this every connection would leave a finalizer behind.
        _readable.Dispose();
    }

    private static int Taken(int sent, SocketError error) => error switch
    {
        SocketError.Success or SocketError.WouldBlock => sent,
        _ => throw new SocketException((int)error),
    };
}
