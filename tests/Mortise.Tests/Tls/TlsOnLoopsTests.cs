using System.IO.Pipelines;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Mortise.Transports.Layers;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>What TLS must not do to a loop, and what it must not leave behind.</summary>
[Collection("alone")]
public sealed class TlsOnLoopsTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Exactly_as_much_as_may_wait_does_not_hold_the_loop_for_ever(EngineKind engine)
    {
        const int RecordBytes = 1024, ContentBytes = RecordBytes - 22; // TLS 1.3: 5 before, 1 and a tag of 16 behind
        var waited = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = TlsClientTests.Echo(o => (o.Transport.Engine, o.Transport.Loops) = (engine, 1),
            async c =>
            {
                await c.ReceiveExactlyAsync(new byte[1]);
                await c.FlushWhollyAsync(default);
                var sends = new List<Task>();
                for (var i = 0; i < 64; i++) // in one turn: nothing leaves before it ends
                    sends.Add(c.SendAsync(new byte[ContentBytes]).AsTask());
                var queued = c.WireBytesQueued;
                sends.Add(c.SendAsync(new byte[ContentBytes]).AsTask());
                waited.TrySetResult(queued);
                await Task.WhenAll(sends);
            });
        await using var client = await TlsClientTests.ConnectAsync(server);
        await client.SendAsync(new byte[1]);
        Assert.Equal(64 * 1024, await waited.Task.InTime());
        await client.ReceiveExactlyAsync(new byte[65 * ContentBytes], Limits.Soon);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Who_reads_elsewhere_goes_on_elsewhere_when_the_connection_is_closed(EngineKind engine)
    {
        await using var server = TlsClientTests.Echo();
        for (var i = 0; i < 20; i++)
        {
            var client = await SocketClient.ConnectAsync(TlsClientTests.ByName(server), o =>
            {
                o.Transport.Set(engine);
                o.Tls.Authorities.Add(Authority.Shared.Root);
            }, Limits.Soon);
            var onLoop = IsOnLoopAfterAsync(client.Input.ReadAsync());
            await client.DisposeAsync().InTime();
            Assert.False(await onLoop.InTime());
        }
    }

    [Theory, MemberData(nameof(TlsClientTests.Kinds), MemberType = typeof(TlsClientTests))]
    public async Task A_close_that_fails_lets_the_descriptor_go(EngineKind engine)
    {
        var told = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
            told.SetResult(await Record.ExceptionAsync(() => c.ReceiveAsync(new byte[1]).AsTask())));
        var client = await SocketClient.ConnectAsync(server.Endpoints[0], o => o.Transport.Set(engine));
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        client.Closed.Register(ended.SetResult);
        client.Put(new LayerThatCannotClose(client));
        await Assert.ThrowsAsync<InvalidDataException>(() => client.DisposeAsync().InTime());
        Assert.Equal(CloseReason.Local, client.CloseReason);
        await ended.Task.InTime();
        var error = Assert.IsType<ConnectionException>(await told.Task.InTime());
        Assert.Equal(CloseReason.Reset, error.CloseReason); // no end in order: bytes may be missing
    }

    private static async Task<bool> IsOnLoopAfterAsync(ValueTask<ReadResult> read)
    {
        try
        {
            await read.ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // However the read ends: what counts is where its reader goes on.
        }

        return Served.IsLoopThread;
    }

    private sealed class LayerThatCannotClose(Connection connection) : ConnectionLayer
    {
        public override PipeReader Input => connection.WireInput;

        public override PipeWriter Output => connection.WireOutput;

        public override TlsInfo Tls => null!;

        public override long BytesReceived => 0;

        public override long BytesHeld => 0;

        public override long BytesQueued => 0;

        public override bool IsSending => false;

        public override bool PeerFinished => false;

        public override void BeginMessage()
        {
        }

        public override void EndMessage()
        {
        }

        public override void FlushSoon()
        {
        }

        public override Task CloseAsync(TimeSpan timeout) => Task.FromException(new InvalidDataException());

        public override void Retire()
        {
        }
    }
}
