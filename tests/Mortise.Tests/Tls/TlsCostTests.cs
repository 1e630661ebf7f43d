using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Reflection;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>What a message over TLS costs beyond its cryptography, and where it is computed.</summary>
[Collection("alone")]
public sealed class TlsCostTests
{
    private const int Messages = 20_000, WarmUp = 5_000;

    private static readonly bool IsDebugBuild = typeof(Connection).Assembly
        .GetCustomAttribute<DebuggableAttribute>() is { IsJITOptimizerDisabled: true };

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_message_is_handled_on_its_loop_without_an_allocation(EngineKind engine)
    {
        Assert.SkipWhen(IsDebugBuild, "a debug build makes an object of every async call");
        var elsewhere = 0;
        await using var server = TlsClientTests.Echo(o => (o.Transport.Engine, o.Transport.Loops) = (engine, 1),
            async c =>
            {
                while (await c.Input.ReadAsync() is { IsCompleted: false } read)
                {
                    if (!Served.IsLoopThread)
                        elsewhere++;
                    foreach (var part in read.Buffer)
                        await c.Output.WriteAsync(part);
                    c.Input.AdvanceTo(read.Buffer.End);
                }
            });
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync((IPEndPoint)server.Endpoints[0].ToSocketEndPoint()!);
        await using var client = new SslStream(new NetworkStream(socket), false, (_, _, _, _) => true);
        await client.AuthenticateAsClientAsync("localhost");
        await Task.Factory.StartNew(() => Ask(client, WarmUp), TaskCreationOptions.LongRunning).InTime();
        var loop = ((LoopConnection)server.Connections[0]).Loop;
        var before = await AllocatedAsync(loop);
        await Task.Factory.StartNew(() => Ask(client, Messages), TaskCreationOptions.LongRunning).InTime();
        var bytes = (await AllocatedAsync(loop) - before) / (double)Messages;
        TestContext.Current.TestOutputHelper?.WriteLine($"{engine}: {bytes:0.0} bytes a message");
        Assert.InRange(bytes, 0, 10);
        Assert.Equal(0, elsewhere);
    }

    private static void Ask(SslStream client, int messages)
    {
        var message = new byte[64];
        for (var i = 0; i < messages; i++)
        {
            client.Write(message);
            client.ReadExactly(message);
        }
    }

    private static Task<long> AllocatedAsync(EventLoop loop)
    {
        var bytes = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        loop.Post(_ => bytes.SetResult(GC.GetAllocatedBytesForCurrentThread()), null);
        return bytes.Task.InTime();
    }
}
