using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>A plain client for servers under test: a bare socket, so that nothing of ours is on both sides.</summary>
internal sealed class ServeClient : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly Socket _socket;

    private ServeClient(Socket socket) => _socket = socket;

    public Socket Socket => _socket;

    public static async Task<ServeClient> ConnectAsync(Endpoint endpoint)
    {
        var address = endpoint.ToSocketEndPoint()!;
        var socket = new Socket(address.AddressFamily, SocketType.Stream,
            endpoint.IsUnix ? ProtocolType.Unspecified : ProtocolType.Tcp);
        if (!endpoint.IsUnix)
            socket.NoDelay = true;
        using var expired = new CancellationTokenSource(Patience);
        await socket.ConnectAsync(address, expired.Token);
        return new ServeClient(socket);
    }

    /// <summary>Sends all of it, half-closes, and gives everything that came back until the end.</summary>
    public static async Task<byte[]> AskAsync(Endpoint endpoint, byte[] bytes)
    {
        using var client = await ConnectAsync(endpoint);
        var reading = client.ReadToEndAsync();
        await client.SendAsync(bytes);
        client.Socket.Shutdown(SocketShutdown.Send);
        return await reading;
    }

    public static async Task<string> AskAsync(Endpoint endpoint, string text) =>
        Encoding.UTF8.GetString(await AskAsync(endpoint, Encoding.UTF8.GetBytes(text)));

    public Task SendAsync(string text) => SendAsync(Encoding.UTF8.GetBytes(text));

    public async Task SendAsync(ReadOnlyMemory<byte> bytes)
    {
        using var expired = new CancellationTokenSource(Patience);
        while (!bytes.IsEmpty)
            bytes = bytes[await _socket.SendAsync(bytes, expired.Token)..];
    }

    /// <summary>Exactly so many bytes, as text.</summary>
    public async Task<string> ReadAsync(int bytes)
    {
        using var expired = new CancellationTokenSource(Patience);
        var buffer = new byte[bytes];
        for (var have = 0; have < bytes;)
        {
            var got = await _socket.ReceiveAsync(buffer.AsMemory(have), expired.Token);
            Assert.True(got > 0, $"the server closed after {have} of {bytes} bytes");
            have += got;
        }

        return Encoding.UTF8.GetString(buffer);
    }

    /// <summary>Everything until the server's FIN; a reset throws.</summary>
    public async Task<byte[]> ReadToEndAsync()
    {
        using var expired = new CancellationTokenSource(Patience);
        using var all = new MemoryStream();
        var buffer = new byte[64 * 1024];
        while (await _socket.ReceiveAsync(buffer, expired.Token) is var got and > 0)
            all.Write(buffer, 0, got);
        return all.ToArray();
    }

    /// <summary>Closes with RST instead of FIN.</summary>
    public void Reset()
    {
        _socket.LingerState = new LingerOption(true, 0);
        _socket.Dispose();
    }

    public void Dispose() => _socket.Dispose();
}
