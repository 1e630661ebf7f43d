using Mortise.Tests.Transports.Linux;
using Mortise.Transports.Loops;

namespace Mortise.Tests.Transports.Loops;

/// <summary>A server on an engine with two loops, and what the tests of this folder ask of it.</summary>
internal static class Served
{
    public static SocketServer Start(EngineKind engine, Func<Connection, Task> handler,
        Action<ServerOptions>? configure = null) => SocketServer.Start("tcp://127.0.0.1:0", handler, o =>
        {
            o.Transport.Set(engine);
            configure?.Invoke(o);
        });

    /// <summary>The client's side is System.Net.Sockets: nothing of it counts among the loops'.</summary>
    public static ValueTask<Connection> ConnectAsync(this SocketServer server) =>
        SocketClient.ConnectAsync(server.Endpoints[0], o => o.Transport.Set(EngineKind.Managed));

    public static bool IsLoopThread => EventLoop.Current is not null
        || Thread.CurrentThread.Name?.StartsWith("mortise-", StringComparison.Ordinal) == true;

    /// <summary>Holds the loop until it is disposed; what is posted meanwhile waits in order.</summary>
    public static Held Hold(this EventLoop loop) => new(loop);

    public sealed class Held : IDisposable
    {
        private readonly ManualResetEventSlim _go = new();

        public Held(EventLoop loop)
        {
            using var busy = new ManualResetEventSlim();
            loop.Post(_ =>
            {
                busy.Set();
                _go.Wait(Conformance.Limits.Time);
            }, null);
            busy.Wait(Conformance.Limits.Time);
        }

        public void Dispose() => _go.Set();
    }
}
