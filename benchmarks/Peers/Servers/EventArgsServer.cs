using System.Net.Sockets;

namespace Mortise.Peers.Servers;

/// <summary>
/// The style of NetCoreServer and its kin: two SocketAsyncEventArgs and a buffer for each connection, made once, and
/// callbacks in place of tasks. What completes at once is handled in a loop, not by recursion.
/// </summary>
internal static class EventArgsServer
{
    private const int BufferBytes = 32 * 1024;

    public static async Task RunAsync(int port)
    {
        using var listener = PlainSocket.Listen(port);
        while (true)
        {
            var socket = await listener.AcceptAsync();
            socket.NoDelay = true;
            new Session(socket).Begin();
        }
    }

    private sealed class Session
    {
        private readonly Socket _socket;
        private readonly SocketAsyncEventArgs _receive = new(), _send = new();
        private readonly byte[] _buffer = new byte[BufferBytes];

        public Session(Socket socket)
        {
            _socket = socket;
            _receive.SetBuffer(_buffer);
            _receive.Completed += (_, _) => { if (Received()) Begin(); };
            _send.Completed += (_, _) => { if (Sent()) Begin(); };
        }

        /// <summary>Receives and sends for as long as both complete at once.</summary>
        public void Begin()
        {
            while (!_socket.ReceiveAsync(_receive) && Received())
            {
            }
        }

        /// <summary>Whether the next receive may begin: the bytes are out.</summary>
        private bool Received()
        {
            if (_receive.SocketError != SocketError.Success || _receive.BytesTransferred == 0)
            {
                _socket.Dispose();
                return false;
            }

            _send.SetBuffer(_buffer, 0, _receive.BytesTransferred);
            return !_socket.SendAsync(_send) && Sent();
        }

        private bool Sent()
        {
            while (_send.SocketError == SocketError.Success)
            {
                var left = _send.Count - _send.BytesTransferred;
                if (left == 0)
                    return true;
                _send.SetBuffer(_send.Offset + _send.BytesTransferred, left);
                if (_socket.SendAsync(_send))
                    return false;
            }

            _socket.Dispose();
            return false;
        }
    }
}
