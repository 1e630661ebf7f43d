namespace Mortise.Tests.Transports;

/// <summary>Both ends of one TCP connection over loopback, in this process.</summary>
internal sealed class TcpPair : IAsyncDisposable
{
    /// <summary>Longer than any step takes on a busy machine; a test that reaches it hangs.</summary>
    public static readonly TimeSpan Limit = TimeSpan.FromSeconds(20);

    private readonly Listener _listener;

    private TcpPair(Listener listener, Connection here, Connection peer)
    {
        _listener = listener;
        Here = here;
        Peer = peer;
    }

    public Connection Here { get; }

    public Connection Peer { get; }

    public static async Task<TcpPair> OpenAsync()
    {
        var listener = SocketServer.Listen("tcp://127.0.0.1:0");
        var accepting = listener.AcceptAsync().AsTask();
        var peer = await SocketClient.ConnectAsync(listener.Endpoint);
        return new TcpPair(listener, await accepting.WaitAsync(Limit), peer);
    }

    public async ValueTask DisposeAsync()
    {
        Here.Abort();
        Peer.Abort();
        await Here.DisposeAsync();
        await Peer.DisposeAsync();
        _listener.Dispose();
    }
}
