using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Mortise.Server;
using Mortise.Tests.Conformance;
using Mortise.Transports;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>Binding, the accept queue and its errors.</summary>
[Collection("alone")]
public sealed class ListenTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public async Task Ports_are_picked_and_told_on_both_sides()
    {
        using var listener = SocketServer.Listen(AnyPort);
        Assert.NotEqual(0, listener.Endpoint.Port);
        await using var client = await SocketClient.ConnectAsync(listener.Endpoint);
        await using var server = await listener.AcceptAsync(Limits.Soon);
        var range = File.ReadAllText("/proc/sys/net/ipv4/ip_local_port_range").Split().Take(2).Select(int.Parse)
            .ToArray();
        Assert.InRange(client.LocalEndpoint.Port, range[0], range[1]);
        Assert.Equal(client.LocalEndpoint, server.RemoteEndpoint);
        Row.Observed("E01", $"bound {listener.Endpoint}, the port picked by the kernel and told");
        Row.Observed("E07", $"the client did not bind; the kernel picked {client.LocalEndpoint.Port} "
            + $"of {range[0]}-{range[1]}");
        Row.Observed("E09", $"the library always binds: LocalEndpoint is {listener.Endpoint}, never empty");
    }

    [Fact]
    public async Task A_client_can_choose_its_port_and_its_interface()
    {
        using var listener = SocketServer.Listen(AnyPort);
        var free = Loopback.FreeEndpoint();
        await using var client = await SocketClient.ConnectAsync(listener.Endpoint, o =>
        {
            o.Transport.Bind = free;
            o.Transport.Interface = "lo";
        });
        await using var server = await listener.AcceptAsync(Limits.Soon);
        Assert.Equal(free, server.RemoteEndpoint);
        Row.Observed("E08", $"bound to {free} on lo: the server sees peer {server.RemoteEndpoint}");
    }

    [Fact]
    public async Task A_listener_of_one_address_refuses_the_others_and_a_foreign_address_is_no_bind()
    {
        using var listener = SocketServer.Listen(AnyPort);
        var refused = await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(
            Endpoint.Parse($"tcp://127.0.0.2:{listener.Endpoint.Port}")));
        Assert.Equal("ECONNREFUSED", refused.Symbol);
        var foreign = Assert.Throws<BindException>(() => SocketServer.Listen(Endpoint.Parse("tcp://192.0.2.1:0")));
        Assert.Equal(("EADDRNOTAVAIL", 99), (foreign.Symbol, foreign.Errno));
        var taken = Assert.Throws<BindException>(() => SocketServer.Listen(listener.Endpoint));
        Assert.Equal(("EADDRINUSE", 98), (taken.Symbol, taken.Errno));
        Row.Observed("E11", $"bound {listener.Endpoint} only; 127.0.0.2: {refused.Symbol}");
        Row.Observed("E12", foreign.Message);
    }

    [Fact]
    public async Task A_full_accept_queue_leaves_the_next_client_in_SYN_SENT_until_it_times_out()
    {
        using var listener = SocketServer.Listen(AnyPort, new TransportOptions { Backlog = 0 });
        await using var held = await SocketClient.ConnectAsync(listener.Endpoint);
        await Limits.UntilAsync(() => listener.AcceptQueueLength == 1, "the queue is empty");
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.SetRawSocketOption(6, 7, BitConverter.GetBytes(1)); // TCP_SYNCNT
        probe.Blocking = false;
        Assert.Throws<SocketException>(() => probe.Connect(IPAddress.Loopback, listener.Endpoint.Port));
        var state = TcpInfo.Read(probe, "probe").State;
        var error = await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(
            listener.Endpoint, o => o.Transport.SynCount = 1));
        Assert.Equal("SYN-SENT", state);
        Assert.Equal(("ETIMEDOUT", 110), (error.Symbol, error.Errno));
        var elapsed = error.Attempts[0].Elapsed;
        Assert.InRange(elapsed.TotalSeconds, 2.5, 8);
        Row.Observed("F04", $"backlog 0, 1 held: the next stays in {state}, then ETIMEDOUT after "
            + $"{elapsed.TotalSeconds:0.00} s");
        Row.Observed("H04", $"TCP_SYNCNT 1: {error.Message}");
        Row.Observed("H11", $"CLOSED → {state} while unanswered; → {held.GetTcpInfo().State} when the kernel took it");
    }

    [Theory, InlineData(-5), InlineData(0), InlineData(int.MaxValue)]
    public void No_backlog_is_an_error(int backlog)
    {
        using var listener = SocketServer.Listen(AnyPort, new TransportOptions { Backlog = backlog });
        var limit = int.Parse(File.ReadAllText("/proc/sys/net/core/somaxconn"));
        Assert.Equal(Math.Clamp(backlog, 0, limit), listener.Backlog);
        Row.Observed("F06", $"backlog {backlog} asked, {listener.Backlog} in force (somaxconn {limit}), no error");
    }

    [Fact]
    public async Task A_burst_of_accept_errors_pauses_the_loop_and_logs_one_line()
    {
        var log = new LineLog();
        var options = new ServerOptions { Logger = log };
        var failing = new FailingTransport(errors: 4);
        using var server = new ConnectionServer(options);
        server.Listen([(failing, AnyPort, c => c.SendAsync(new byte[1]).AsTask())]);
        await using var client = await SocketClient.ConnectAsync(server.Listeners[0].Endpoint);
        await client.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        await server.SuspendAsync();
        var counts = new ServerStatistics(server.Counters.Snapshot());
        Assert.Equal(4, counts.AcceptErrors);
        Assert.InRange(failing.Accepts, 5, 7);
        Assert.Equal(1, log.Lines.Count(l => l.Contains("fails with ECONNABORTED", StringComparison.Ordinal)));
        Row.Observed("G07", $"4 × ECONNABORTED from accept: {failing.Accepts} accepts in all, one log line, the client "
            + "was then served");
    }

    private sealed class FailingTransport(int errors) : Transport
    {
        public int Accepts { get; private set; }

        public override string Name => "failing";

        public override bool Carries(EndpointKind kind) => true;

        public override Mortise.Listener Listen(Endpoint endpoint, TransportOptions options) =>
            new FailingListener(this, SocketServer.Listen(endpoint, options), errors);

        public override ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
            CancellationToken cancellationToken) => throw new NotSupportedException();

        private sealed class FailingListener(FailingTransport owner, Listener inner, int errors) : Listener
        {
            public override Endpoint Endpoint => inner.Endpoint;

            public override int Backlog => inner.Backlog;

            public override ValueTask<Connection> AcceptAsync(CancellationToken cancellationToken = default) =>
                ++owner.Accepts > errors ? inner.AcceptAsync(cancellationToken)
                : throw new MortiseException("accept", Endpoint.ToString(), "ECONNABORTED", "planted", null, 103);

            public override bool TryAccept([NotNullWhen(true)] out Connection? connection) =>
                inner.TryAccept(out connection);

            public override void Dispose() => inner.Dispose();
        }
    }

    private sealed class LineLog : ILogger
    {
        private readonly List<string> _lines = [];

        public IReadOnlyList<string> Lines => _lines;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
                _lines.Add(formatter(state, exception));
        }
    }
}
