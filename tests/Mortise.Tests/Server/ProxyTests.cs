using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Logging;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>PROXY headers on real sockets: who is believed, who is counted, and what closes a connection.</summary>
public sealed class ProxyTests
{
    private static readonly Endpoint Client = "203.0.113.9:51000", Front = "198.51.100.1:443";

    private readonly TaskCompletionSource<Connection> _served = New<Connection>();
    private readonly TaskCompletionSource<Connection> _closed = New<Connection>();

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task The_told_addresses_are_shown_and_the_bytes_behind_stay(EngineKind engine)
    {
        await using var server = Start(engine);
        foreach (var header in new[] { ProxyHeader.V1(Client, Front), ProxyHeader.V2(Client, Front, checksum: true) })
        {
            byte[] bytes = [.. header.ToBytes(), .. "hello"u8];
            foreach (var cut in new[] { bytes.Length, 1, 13, bytes.Length - 5, bytes.Length - 6 })
            {
                using var client = await DialAsync(server);
                await client.SendAsync(bytes.AsMemory(0, cut), Limits.Soon);
                if (cut < bytes.Length)
                {
                    await Limits.UntilAsync(() => server.Connections.Any(c => c.BytesReceived == cut),
                        "the first piece did not arrive");
                    await client.SendAsync(bytes.AsMemory(cut), Limits.Soon);
                }

                var told = await client.ReadAsync(5, "203.0.113.9:51000 to 198.51.100.1:443 via 127.0.0.1 v"
                    + $"{header.Version}");
                Assert.Equal("hello", told);
            }
        }
    }

    [Fact]
    public async Task A_client_writes_the_header_and_a_proxy_passes_on_what_it_was_told()
    {
        await using var server = Start();
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0],
            o => o.ProxyHeader = ProxyHeader.V2(Client, Front, checksum: false, new ProxyTlv(2, "host"u8.ToArray())));
        var connection = await _served.Task.InTime();
        Assert.Equal((Client, Front, client.LocalEndpoint), (connection.RemoteEndpoint, connection.LocalEndpoint,
            connection.Proxy!.Via));
        Assert.Equal("host", Encoding.ASCII.GetString(connection.Proxy.Tlvs.Single().Value.Span));
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Where_no_addresses_are_told_the_real_ones_stay(bool local)
    {
        await using var server = Start();
        using var client = await DialAsync(server);
        await client.SendAsync(local ? ProxyHeader.Local.ToBytes() : "PROXY UNKNOWN\r\n"u8.ToArray(), Limits.Soon);
        var connection = await _served.Task.InTime();
        Assert.Equal(Endpoint.From(EndpointKind.Tcp, client.LocalEndPoint), connection.RemoteEndpoint);
        Assert.Equal((local, null, connection.RemoteEndpoint),
            (connection.Proxy!.IsLocal, connection.Proxy.Source, connection.Proxy.Via));
    }

    [Fact]
    public async Task Who_is_not_trusted_cannot_speak_as_somebody_else()
    {
        var log = new WarningLog();
        await using var server = Start(more: o => (o.Logger, o.MaxConnectionsPerAddress) = (log, 1));
        for (var i = 0; i < 3; i++)
        {
            using var client = await DialAsync(server, from: "127.0.0.2");
            await client.SendAsync(ProxyHeader.V1(Client, Front).ToBytes(), Limits.Soon);
            await AssertClosedAsync(client);
            await Limits.UntilAsync(() => server.Statistics.Current == 0, "it is still served");
        }

        var closed = await _closed.Task.InTime();
        Assert.Equal((CloseReason.ProxyHeader, null), (closed.CloseReason, closed.Proxy));
        Assert.False(_served.Task.IsCompleted);
        Assert.Contains("proxy_header: 127.0.0.2 is not a trusted proxy", log.Text);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\n\r\n", "the first bytes are ASCII 'GET ': an HTTP client directly on a port")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n", "malformed: 3 fields after TCP4")]
    [InlineData("", "the connection ended before its PROXY header")]
    [InlineData("PROXY TCP4", "the connection ended inside its PROXY header, after 10 bytes")]
    public async Task What_is_no_header_closes_for_proxy_header_and_says_what_came(string sent, string reason)
    {
        var log = new WarningLog();
        await using var server = Start(more: o => o.Logger = log);
        using var client = await DialAsync(server);
        await client.SendAsync(Encoding.ASCII.GetBytes(sent), Limits.Soon);
        client.Shutdown(SocketShutdown.Send);
        await AssertClosedAsync(client);
        Assert.Equal(CloseReason.ProxyHeader, (await _closed.Task.InTime()).CloseReason);
        Assert.Contains(reason, log.Text);
        Assert.False(_served.Task.IsCompleted);
    }

    [Fact]
    public async Task One_that_never_ends_its_header_is_closed_for_handshake_timeout()
    {
        await using var server = Start(more: o => o.HandshakeTimeout = TimeSpan.FromMilliseconds(100));
        using var client = await DialAsync(server);
        await client.SendAsync("PROXY TCP4 1."u8.ToArray(), Limits.Soon);
        await AssertClosedAsync(client);
        Assert.Equal(CloseReason.HandshakeTimeout, (await _closed.Task.InTime()).CloseReason);
    }

    [Fact]
    public async Task Limits_and_lists_judge_whom_the_proxy_speaks_for_and_places_come_back()
    {
        await using var server = Start(more: o =>
        {
            o.MaxConnectionsPerAddress = 2;
            o.Allow.Add("203.0.113.0/24");
            o.Deny.Add("203.0.113.66");
        });
        Assert.False(await IsServedAsync(server, "203.0.113.66:1"));
        Assert.False(await IsServedAsync(server, "198.51.100.7:1"));
        for (var round = 0; round < 3; round++)
        {
            var first = await DialAsync(server);
            var second = await DialAsync(server);
            Assert.True(await IsServedAsync(first, Client));
            Assert.True(await IsServedAsync(second, Client));
            Assert.False(await IsServedAsync(server, Client.ToString()));
            Assert.True(await IsServedAsync(server, "203.0.113.10:1"));
            using (var check = await DialAsync(server))
                await check.SendAsync(ProxyHeader.Local.ToBytes(), Limits.Soon);
            first.Dispose();
            second.Dispose();
            await Limits.UntilAsync(() => server.Statistics.Current == 0, "somebody is still served");
        }

        Assert.Equal(5, server.Statistics.Rejected);
    }

    [Fact]
    public void Requiring_headers_from_nobody_and_trusting_whom_nobody_asks_is_refused_at_start()
    {
        var nobody = Assert.Throws<InvalidSettingException>(() => SocketServer.Start("tcp://127.0.0.1:0",
            _ => Task.CompletedTask, o => o.ProxyProtocol = ProxyProtocol.Require));
        Assert.Contains("nobody is trusted", nobody.Reason);
        var unread = Assert.Throws<InvalidSettingException>(() => SocketServer.Start("tcp://127.0.0.1:0",
            _ => Task.CompletedTask, o => o.TrustedProxies.Add("10.0.0.1")));
        Assert.Contains("no PROXY headers are read", unread.Reason);
    }

    private static TaskCompletionSource<T> New<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Says who came, then echoes; 127.0.0.1 alone is trusted.</summary>
    private SocketServer Start(EngineKind engine = EngineKind.Auto, Action<ServerOptions>? more = null) =>
        Served.Start(engine, async c =>
        {
            _served.TrySetResult(c);
            await c.SendAsync(Encoding.ASCII.GetBytes($"{c.RemoteEndpoint.Authority} to {c.LocalEndpoint.Authority} "
                + $"via {c.Proxy!.Via!.Host} v{c.Proxy.Version}\n"));
            await c.Input.CopyToAsync(c.Output, c.Closed);
        }, o =>
        {
            o.ProxyProtocol = ProxyProtocol.Require;
            o.TrustedProxies.Add("127.0.0.1");
            o.OnClosed = c => _closed.TrySetResult(c);
            more?.Invoke(o);
        });

    private static async Task<Socket> DialAsync(SocketServer server, string from = "127.0.0.1")
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        client.Bind(new IPEndPoint(IPAddress.Parse(from), 0));
        await client.ConnectAsync(server.Endpoints[0].ToSocketEndPoint()!, Limits.Soon);
        return client;
    }

    private static async Task<bool> IsServedAsync(SocketServer server, string client)
    {
        using var socket = await DialAsync(server);
        return await IsServedAsync(socket, client);
    }

    private static async Task<bool> IsServedAsync(Socket socket, Endpoint client)
    {
        await socket.SendAsync(ProxyHeader.V2(client, Front).ToBytes(), Limits.Soon);
        try
        {
            return await socket.ReceiveAsync(new byte[1], Limits.Soon) == 1;
        }
        catch (SocketException)
        {
            return false; // reset, as at accept
        }
    }

    private static async Task AssertClosedAsync(Socket client)
    {
        try
        {
            Assert.Equal(0, await client.ReceiveAsync(new byte[1], Limits.Soon));
        }
        catch (SocketException e)
        {
            Assert.Equal(SocketError.ConnectionReset, e.SocketErrorCode);
        }
    }
}

/// <summary>What a server warned of.</summary>
internal sealed class WarningLog : ILogger
{
    private readonly System.Collections.Concurrent.ConcurrentQueue<string> _lines = new();

    public string Text => string.Join('\n', _lines);

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
        Func<TState, Exception?, string> formatter) => _lines.Enqueue(formatter(state, exception));
}

/// <summary>Reading from plain sockets.</summary>
internal static class PlainReading
{
    /// <summary>A line that must be this one, and then so many bytes.</summary>
    public static async Task<string> ReadAsync(this Socket socket, int bytes, string line)
    {
        var all = new byte[line.Length + 1 + bytes];
        for (var have = 0; have < all.Length;)
        {
            var got = await socket.ReceiveAsync(all.AsMemory(have), Limits.Soon);
            Assert.True(got > 0, $"the connection ended after {Encoding.ASCII.GetString(all, 0, have)}");
            have += got;
        }

        var text = Encoding.ASCII.GetString(all);
        Assert.StartsWith(line + "\n", text);
        return text[(line.Length + 1)..];
    }
}
