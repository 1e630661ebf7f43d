using System.Net.Security;
using System.Text;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>Several protocols on one port: the first bytes tell, and the next reader finds them.</summary>
public sealed class ProtocolTests
{
    public static TheoryData<string, EngineKind, bool> Places { get; } = new(
        from place in (IEnumerable<(string, EngineKind)>)
            [.. Engines.WithLoops.SelectMany(e => ((string, EngineKind)[])[(Tcp, e.Data), (TlsOnTcp, e.Data)]),
            (Tcp, EngineKind.Managed), (TlsOnTcp, EngineKind.Managed), ("mem:vain", EngineKind.Auto)]
        from gaveUp in (bool[])[false, true]
        select (place.Item1, place.Item2, gaveUp));

    private const string Tcp = "tcp://127.0.0.1:0", TlsOnTcp = "tls://127.0.0.1:0";

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n", Protocol.Http)]
    [InlineData("OPTIONS * HTTP/1.1\r\n", Protocol.Http)]
    [InlineData("PRI * HTTP/2.0\r\n", Protocol.Http)]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\n", Protocol.Proxy)]
    [InlineData("\r\n\r\n\0\r\nQUIT\n", Protocol.Proxy)]
    [InlineData("\u0016\u0003\u0001\0\u0005\u0001\0\0\u0001\0", Protocol.Tls)]
    [InlineData("\u0016\u0003\u0001\0\u0005\u0002\0\0\u0001\0", Protocol.Other)]
    [InlineData("GETTING THERE\n", Protocol.Other)]
    [InlineData("hello\n", Protocol.Other)]
    [InlineData("\r\n", Protocol.Other)]
    public async Task The_first_bytes_tell_however_they_come_and_stay(string said, Protocol expected)
    {
        foreach (var pieces in new[] { 1, 1000 })
        {
            var told = new TaskCompletionSource<(Protocol, string)>();
            await using var server = SocketServer.Start(Endpoint.Parse("tcp://127.0.0.1:0"), async c =>
            {
                var protocol = await c.DetectAsync();
                var all = new byte[said.Length];
                await c.ReceiveExactlyAsync(all, Limits.Soon);
                told.SetResult((protocol, Encoding.Latin1.GetString(all)));
            });
            await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
            foreach (var piece in Encoding.Latin1.GetBytes(said).Chunk(pieces))
            {
                await client.SendAsync(piece);
                await Limits.UntilAsync(() => client.BytesQueued == 0, "not sent");
            }

            await client.ShutdownSendAsync();
            Assert.Equal((expected, said), await told.Task.WaitAsync(Limits.Soon));
        }
    }

    [Theory, InlineData("", Protocol.Silent), InlineData("GE", Protocol.Other)]
    public async Task Who_says_nothing_or_half_a_word_is_not_waited_for(string said, Protocol expected)
    {
        var (time, network) = (new ManualTime(), new MemoryNetwork());
        var told = new TaskCompletionSource<Protocol>(TaskCreationOptions.RunContinuationsAsynchronously);
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start(Endpoint.Parse("mem:detect"), async c =>
        {
            var detecting = c.DetectAsync(TimeSpan.FromSeconds(3));
            begun.SetResult();
            told.SetResult(await detecting);
        }, o => (o.Transport.Time, o.Transport.Memory) = (time, network));
        await using var client = await SocketClient.ConnectAsync(Endpoint.Parse("mem:detect"),
            o => (o.Transport.Time, o.Transport.Memory) = (time, network)); // both ends have the clock of this one
        if (said.Length > 0)
            await client.SendAsync(Encoding.ASCII.GetBytes(said));
        await begun.Task.WaitAsync(Limits.Soon);
        await Limits.UntilAsync(() => server.Connections is [{ BytesHeld: var held }] && held == said.Length, "no one");
        await Limits.UntilAsync(() =>
        {
            time.Advance(TimeSpan.FromSeconds(0.5));
            return told.Task.IsCompleted;
        }, "it waits on");
        Assert.Equal(expected, await told.Task.WaitAsync(Limits.Soon));
        Assert.InRange(time.Elapsed.TotalSeconds, 3, 60);
    }

    [Theory, MemberData(nameof(Places))]
    public async Task What_was_looked_at_in_vain_is_there_for_the_next_reader(string at, EngineKind engine,
        bool gaveUp)
    {
        var network = new MemoryNetwork();
        var next = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start(Endpoint.Parse(at), async c =>
        {
            await DetectInVainAsync(c, gaveUp);
            next.SetResult(await NextAsync(c));
        }, o =>
        {
            o.Transport.Set(engine);
            o.Transport.Memory = network;
            o.Tls.Certificate = Tls.Authority.Localhost;
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], o =>
        {
            o.Transport.Memory = network;
            o.Tls.Authorities.Add(Tls.Authority.Shared.Root);
            o.Tls.ServerName = "localhost";
        });
        await client.SendAsync("\r\n"u8.ToArray());
        Assert.Equal("\r\n", await next.Task.WaitAsync(Limits.Soon));
    }

    [Fact]
    public async Task A_real_TLS_client_is_known_by_its_hello()
    {
        var told = new TaskCompletionSource<Protocol>();
        await using var server = SocketServer.Start(Endpoint.Parse("tcp://127.0.0.1:0"), async c =>
            told.SetResult(await c.DetectAsync()));
        using var socket = new System.Net.Sockets.TcpClient("127.0.0.1", server.Endpoints[0].Port);
        using var tls = new SslStream(socket.GetStream());
        var shaking = tls.AuthenticateAsClientAsync("localhost");
        Assert.Equal(Protocol.Tls, await told.Task.WaitAsync(Limits.Soon));
        await Assert.ThrowsAnyAsync<IOException>(() => shaking.WaitAsync(Limits.Soon));
    }

    /// <summary>Its time is over, or the token's.</summary>
    private static async Task DetectInVainAsync(Connection connection, bool gaveUp)
    {
        var shortly = TimeSpan.FromMilliseconds(50);
        Protocol seen;
        while ((seen = await connection.DetectAsync(shortly, Limits.Soon)) == Protocol.Silent)
        {
            // it has not come yet
        }

        Assert.Equal(Protocol.Other, seen);
        if (!gaveUp)
            return;
        using var patience = new CancellationTokenSource(shortly);
        var given = await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => connection.DetectAsync(cancellationToken: patience.Token).AsTask());
        Assert.Equal(patience.Token, given.CancellationToken);
    }

    private static async Task<string> NextAsync(Connection connection)
    {
        var room = new byte[64];
        return Encoding.ASCII.GetString(room, 0, await connection.ReceiveAsync(room, Limits.Soon));
    }
}
