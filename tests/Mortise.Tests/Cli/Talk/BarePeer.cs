using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mortise.Tests.Cli.Talk;

/// <summary>A server of bare sockets on a loopback port, so that only one side of a talk is ours.</summary>
internal sealed class BarePeer : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    /// <summary>Bound, and listening unless <paramref name="backlog"/> is below 0; then a connect is refused.</summary>
    public BarePeer(int backlog = 16)
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        Port = ((IPEndPoint)_listener.LocalEndPoint!).Port;
        if (backlog >= 0)
            _listener.Listen(backlog);
    }

    public int Port { get; }

    /// <summary>As the command line takes it.</summary>
    public string Address => $"127.0.0.1:{Port}";

    public void Listen() => _listener.Listen();

    public async Task<Socket> AcceptAsync()
    {
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        var socket = await _listener.AcceptAsync(expired.Token);
        socket.NoDelay = true;
        return socket;
    }

    public void Dispose() => _listener.Dispose();
}

/// <summary>Text over a bare socket, every wait bounded.</summary>
internal static class SocketText
{
    public static int RemotePort(this Socket socket) => ((IPEndPoint)socket.RemoteEndPoint!).Port;

    public static async Task SayAsync(this Socket socket, string text) =>
        await SayAsync(socket, Encoding.UTF8.GetBytes(text));

    public static async Task SayAsync(this Socket socket, ReadOnlyMemory<byte> bytes)
    {
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        while (!bytes.IsEmpty)
            bytes = bytes[await socket.SendAsync(bytes, expired.Token)..];
    }

    /// <summary>Exactly so many bytes.</summary>
    public static async Task<byte[]> HearAsync(this Socket socket, int bytes)
    {
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        var buffer = new byte[bytes];
        for (var have = 0; have < bytes;)
        {
            var got = await socket.ReceiveAsync(buffer.AsMemory(have), expired.Token);
            if (got == 0)
                throw new EndOfStreamException($"the client finished after {have} of {bytes} bytes");
            have += got;
        }

        return buffer;
    }

    /// <summary>Everything until the client's FIN, as text; a reset throws.</summary>
    public static async Task<string> HearToEndAsync(this Socket socket)
    {
        using var expired = new CancellationTokenSource(MortiseProcess.Patience);
        using var all = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (await socket.ReceiveAsync(buffer, expired.Token) is var got and > 0)
            all.Write(buffer, 0, got);
        return Encoding.UTF8.GetString(all.ToArray());
    }

    /// <summary>Closes with RST instead of FIN.</summary>
    public static void Reset(this Socket socket)
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Dispose();
    }
}
