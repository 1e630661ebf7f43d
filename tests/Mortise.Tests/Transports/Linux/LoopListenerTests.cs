using Mortise.Tests.Conformance;
using Mortise.Transports.Linux;
using Mortise.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>Listening and connecting on the loops.</summary>
[Collection("alone")]
public sealed class LoopListenerTests
{
    private const int Nonblock = 0x800;          // O_NONBLOCK
    private const int CloseOnExec = 0x80000;     // O_CLOEXEC

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task One_listening_socket_is_shared_by_the_loops_and_a_second_server_gets_EADDRINUSE(EngineKind engine)
    {
        await using var server = Start(engine, "tcp://127.0.0.1:0");
        var refused = Assert.Throws<BindException>(() => Start(engine, server.Endpoints[0]));
        Assert.Equal("EADDRINUSE", refused.Symbol);
        Assert.Equal(1, ListeningSockets(server.Endpoints[0].Port));
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task With_reuse_port_there_is_a_listening_socket_for_each_loop_and_every_client_is_served(
        EngineKind engine)
    {
        await using var one = Start(engine, "tcp://127.0.0.1:0", o => o.ReusePort = true);
        var port = one.Endpoints[0].Port;
        Assert.Equal(2, ListeningSockets(port));
        await using var two = Start(engine, one.Endpoints[0], o => o.ReusePort = true);
        Assert.Equal(4, ListeningSockets(port));
        await EchoAsync(one.Endpoints[0], 40);
        Assert.InRange(one.Statistics.Accepted, 1, 39);
        Assert.Equal(40, one.Statistics.Accepted + two.Statistics.Accepted);
        await one.SuspendAsync();
        Assert.Equal(2, ListeningSockets(port));
        await EchoAsync(one.Endpoints[0], 10);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Connections_are_spread_over_the_loops(EngineKind engine)
    {
        // Three loops: nobody else's group, so no connection of another test is still leaving them.
        await using var server = Start(engine, "tcp://127.0.0.1:0", o => o.Loops = 3);
        var clients = new List<Connection>();
        for (var i = 0; i < 9; i++)
            clients.Add(await SocketClient.ConnectAsync(server.Endpoints[0],
                o => o.Transport.Engine = EngineKind.Managed));
        await Limits.UntilAsync(() => server.Connections.Count == 9, "not all came");
        // A loop that a busy machine lets wait counts as blocked, and one more goes to another.
        Assert.All(server.Connections.GroupBy(c => c.Home), loop => Assert.InRange(loop.Count(), 2, 4));
        clients.ForEach(c => c.Abort());
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Closing_a_listener_ends_its_accepts_and_frees_its_address_at_once(EngineKind engine)
    {
        var options = Options(engine);
        for (var i = 0; i < 20; i++)
        {
            var listener = SocketServer.Listen("tcp://127.0.0.1:0", options);
            var endpoint = listener.Endpoint;
            var waiting = listener.AcceptAsync().AsTask();
            Assert.False(listener.TryAccept(out _));
            listener.Dispose();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.InTime());
            await Assert.ThrowsAsync<ConnectException>(async () =>
                await SocketClient.ConnectAsync(endpoint, o => o.Transport.Engine = engine));
            using var next = SocketServer.Listen(endpoint, options);
        }
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_cancelled_accept_loses_nobody(EngineKind engine)
    {
        using var listener = SocketServer.Listen("tcp://127.0.0.1:0", Options(engine));
        using var impatient = new CancellationTokenSource();
        var waiting = listener.AcceptAsync(impatient.Token).AsTask();
        await impatient.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.InTime());
        var two = new[] { listener.AcceptAsync(Limits.Soon).AsTask(), listener.AcceptAsync(Limits.Soon).AsTask() };
        await using var first = await SocketClient.ConnectAsync(listener.Endpoint);
        await using var second = await SocketClient.ConnectAsync(listener.Endpoint);
        var peers = (await Task.WhenAll(two).InTime()).Select(c => c.RemoteEndpoint.Port).Order();
        Assert.Equal(new[] { first.LocalEndpoint.Port, second.LocalEndpoint.Port }.Order(), peers);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Descriptors_wait_by_themselves_and_are_closed_for_children(EngineKind engine)
    {
        using var listener = SocketServer.Listen("tcp://127.0.0.1:0", Options(engine));
        await using var client = (LoopConnection)await SocketClient.ConnectAsync(listener.Endpoint,
            o => o.Transport.Engine = engine);
        await using var server = (LoopConnection)await listener.AcceptAsync(Limits.Soon);
        Assert.All([client, server], c => Assert.Equal(CloseOnExec, FlagsOf(c.Fd) & (CloseOnExec | Nonblock)));
        Assert.Equal(client.LocalEndpoint, server.RemoteEndpoint);
        Assert.False(client.RunsAtHome || server.RunsAtHome);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_client_made_by_a_handler_lives_on_the_handlers_loop(EngineKind engine)
    {
        await using var there = Start(engine, "tcp://127.0.0.1:0");
        await using var proxy = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            await using var onward = (LoopConnection)await SocketClient.ConnectAsync(there.Endpoints[0],
                o => o.Transport.Set(engine));
            var isHome = onward.RunsAtHome && onward.Loop == c.Home && onward.Loop.IsCurrent;
            await c.SendAsync(isHome ? "y"u8.ToArray() : "n"u8.ToArray());
        }, o => o.Transport.Set(engine));
        await using var client = await SocketClient.ConnectAsync(proxy.Endpoints[0]);
        Assert.Equal("y"u8.ToArray(), await Limits.ReadToEndAsync(client));
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_connect_that_is_given_up_leaves_no_descriptor(EngineKind engine)
    {
        using var full = SocketServer.Listen("tcp://127.0.0.1:0", new TransportOptions { Backlog = 0 });
        await using var holder = await SocketClient.ConnectAsync(full.Endpoint);
        await Limits.UntilAsync(() => full.AcceptQueueLength == 1, "the queue is empty");
        var before = Limits.OpenSockets();
        using var impatient = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await SocketClient.ConnectAsync(
            full.Endpoint, o => o.Transport.Set(engine), impatient.Token));
        await Limits.UntilAsync(() => Limits.OpenSockets() == before, "a socket was left");
    }

    [Fact]
    public void Addresses_of_the_kernel_become_endpoints()
    {
        Assert.Equal("tcp://10.1.2.3:80", Read(EndpointKind.Tcp, [2, 0, 0, 80, 10, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0]));
        Assert.Equal("tcp://[::1]:258", Read(EndpointKind.Tcp,
            [10, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]));
        Assert.Equal("tcp://127.0.0.1:258", Read(EndpointKind.Tcp,
            [10, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1, 0, 0, 0, 0]));
        Assert.Equal("unix:", Read(EndpointKind.Unix, [1, 0]));
        Assert.Equal("unix:/a", Read(EndpointKind.Unix, [1, 0, (byte)'/', (byte)'a', 0]));
        Assert.Equal("unix:@a", Read(EndpointKind.Unix, [1, 0, 0, (byte)'a']));
        Assert.Equal("unix:", Read(EndpointKind.Unix, []));
    }

    private static string Read(EndpointKind kind, ReadOnlySpan<byte> address) =>
        SocketAddressText.Read(kind, address).ToString();

    private static SocketServer Start(EngineKind engine, Endpoint endpoint, Action<TransportOptions>? more = null) =>
        SocketServer.Start(endpoint, c => c.Input.CopyToAsync(c.Output, c.Closed), o =>
        {
            o.Transport.Set(engine);
            more?.Invoke(o.Transport);
        });

    private static TransportOptions Options(EngineKind engine)
    {
        var options = new TransportOptions();
        options.Set(engine);
        return options;
    }

    private static async Task EchoAsync(Endpoint endpoint, int clients)
    {
        for (var i = 0; i < clients; i++)
        {
            await using var client = await SocketClient.ConnectAsync(endpoint);
            await client.SendAsync("a"u8.ToArray());
            await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        }
    }

    private static int ListeningSockets(int port) => File.ReadLines("/proc/net/tcp").Skip(1)
        .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        .Count(r => r[3] == "0A" && r[1].EndsWith($":{port:X4}", StringComparison.Ordinal));

    private static int FlagsOf(int fd)
    {
        var lines = File.ReadLines($"/proc/self/fdinfo/{fd}");
        return Convert.ToInt32(lines.First(l => l.StartsWith("flags:", StringComparison.Ordinal))[6..].Trim(), 8);
    }
}
