using System.Net.Sockets;
using System.Text;
using Mortise.Tests.Cli;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>Our client: whom it trusts, and how it explains each that it does not.</summary>
public sealed class TlsClientTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("tls").FullName;

    public static TheoryData<EngineKind> Kinds { get; } =
        [EngineKind.Managed, .. Engines.WithLoops.Select(e => e.Data)];

    [Theory]
    [InlineData("-tls1_2"), InlineData("-tls1_3")]
    public async Task It_speaks_with_a_server_of_openssl(string version)
    {
        OpenSsl.SkipUnlessInstalled();
        var at = Loopback.FreeEndpoint();
        var (certificate, key) = Authority.Write(Authority.Shared.Sign(["srv.example"]), _folder, "srv");
        await using var server = MortiseProcess.Shell($"exec openssl s_server -accept {at.Authority} {version} -rev "
            + $"-cert {certificate} -key {key} -alpn rev 2>&1");
        await server.OutputAsync("^ACCEPT");
        await using var client = await SocketClient.ConnectAsync($"tls://{at.Authority}", Codec.Lines(), o =>
        {
            o.Tls.ServerName = "srv.example";
            o.Tls.Authorities.Add(Authority.Shared.Root);
            o.Tls.ApplicationProtocols.Add("rev");
        });
        await client.SendAsync("drawer", Limits.Soon);
        Assert.Equal("reward", await client.ReceiveAsync(Limits.Soon));
        var tls = client.Connection.Tls!;
        Assert.Equal(("rev", "CN=srv.example"), (tls.ApplicationProtocol, tls.PeerCertificate!.Subject));
        Assert.StartsWith(version == "-tls1_2" ? "TLS 1.2, TLS_" : "TLS 1.3, TLS_", tls.ToString());
    }

    [Theory]
    [InlineData("expired", "the server's certificate expired on ")]
    [InlineData("early", "the server's certificate is not valid before ")]
    [InlineData("other", "the server's certificate is for elsewhere.example, not for localhost")]
    [InlineData("unknown", "the server's certificate is signed by CN=Mortise tests CA, which nobody trusts here")]
    [InlineData("self", "the server's certificate signed itself (CN=localhost, O=Mortise development), and nobody")]
    public async Task It_says_why_it_does_not_trust_a_server(string kind, string why)
    {
        var certificate = kind switch
        {
            "expired" => TlsCertificate.From(Authority.Shared.Sign(["localhost"], from: -10, to: -1)),
            "early" => TlsCertificate.From(Authority.Shared.Sign(["localhost"], from: 1, to: 2)),
            "other" => TlsCertificate.From(Authority.Shared.Sign(["elsewhere.example"])),
            "self" => TlsCertificate.Development(_folder),
            _ => Authority.Localhost,
        };
        await using var server = Echo(o => o.Tls.Certificate = certificate);
        var error = await Assert.ThrowsAsync<HandshakeException>(() => ConnectAsync(server,
            trusting: kind is not ("unknown" or "self")).AsTask());
        Assert.Contains(why, error.Message);
        Assert.Equal((CloseReason.Tls, "tls", true), (error.CloseReason, error.Symbol, error.Hint is not null));
        // It is a matter of trust alone: who wants to look, can.
        await using var looking = await SocketClient.ConnectAsync(ByName(server),
            o => o.Tls.DangerousAcceptAnyCertificate = true);
        await looking.SendAsync("x"u8.ToArray());
        await looking.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }

    [Theory]
    [InlineData("HTTP/1.1 400 Bad Request\r\n\r\n", "it began with \"HTTP/1.1 400 Bad\": an HTTP server")]
    [InlineData("220 ready\r\n", "it began with \"220 ready\": does that port speak TLS at all?")]
    [InlineData("", "the server closed in the middle of the handshake")]
    public async Task A_server_without_TLS_is_told_apart(string answer, string why)
    {
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", async c =>
        {
            await c.ReceiveAsync(new byte[5], Limits.Soon);
            await c.SendAsync(Encoding.ASCII.GetBytes(answer));
        });
        var error = await Assert.ThrowsAsync<HandshakeException>(() => ConnectAsync(server).AsTask());
        Assert.Contains(why, $"{error.Reason}: {error.Hint}");
    }

    [Fact]
    public async Task A_server_that_says_nothing_has_the_time_of_a_connect()
    {
        await using var server = SocketServer.Start("tcp://127.0.0.1:0",
            c => Task.Delay(Timeout.InfiniteTimeSpan, c.Closed));
        var error = await Assert.ThrowsAsync<HandshakeException>(() => SocketClient.ConnectAsync(ByName(server),
            o => o.ConnectTimeout = TimeSpan.FromMilliseconds(300)).AsTask());
        Assert.Equal(CloseReason.HandshakeTimeout, error.CloseReason);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task A_server_that_wants_a_certificate_and_gets_none_is_explained(EngineKind engine)
    {
        await using var server = Echo(o =>
        {
            o.Transport.Set(engine);
            o.Tls.ClientCertificates = ClientCertificates.Require;
            o.Tls.ClientAuthorities.Add(Authority.Shared.Root);
        });
        await using var client = await ConnectAsync(server); // in TLS 1.3 the client is ready before the server judges
        var error = await Assert.ThrowsAsync<ConnectionException>(async () =>
        {
            while (true)
                await client.ReceiveAsync(new byte[1], Limits.Soon);
        });
        Assert.NotNull(error.CloseReason.Name());
        await using var known = await SocketClient.ConnectAsync(ByName(server), o =>
        {
            o.Tls.Authorities.Add(Authority.Shared.Root);
            o.Tls.Certificate = TlsCertificate.From(Authority.Shared.Sign(["ada"], forClient: true));
        });
        await known.SendAsync("x"u8.ToArray());
        await known.ReceiveExactlyAsync(new byte[1], Limits.Soon);
    }

    [Theory, MemberData(nameof(Kinds))]
    public async Task An_end_without_close_notify_is_no_end(EngineKind engine)
    {
        var ended = new TaskCompletionSource<Exception?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var closed = new TaskCompletionSource<CloseReason?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Echo(o =>
        {
            o.Transport.Set(engine);
            o.OnClosed = c => closed.TrySetResult(c.CloseReason);
        }, async c =>
        {
            var got = new byte[5];
            await c.ReceiveExactlyAsync(got);
            Assert.Equal("whole"u8.ToArray(), got); // what came before the cut is there
            ended.SetResult(await Record.ExceptionAsync(async () => await c.ReceiveAsync(got)));
            throw (await ended.Task)!;
        });
        var client = await ConnectAsync(server);
        await client.SendAsync("whole"u8.ToArray());
        await client.FlushWhollyAsync(default);
        await client.WireOutput.CompleteAsync(); // FIN, and nothing of TLS before it
        var error = Assert.IsType<ConnectionException>(await ended.Task.InTime());
        Assert.Contains("the peer ended without close_notify", error.Message);
        Assert.Equal(CloseReason.Tls, error.CloseReason);
        Assert.Equal(CloseReason.Tls, await closed.Task.InTime());
        client.Abort();
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    internal static SocketServer Echo(Action<ServerOptions>? configure = null,
        Func<Connection, Task>? handler = null) =>
        SocketServer.Start("tls://127.0.0.1:0", handler ?? (c => c.Input.CopyToAsync(c.Output, c.Closed)), o =>
        {
            o.Tls.Certificate = Authority.Localhost;
            configure?.Invoke(o);
        });

    internal static string ByName(SocketServer server) => $"tls://localhost:{server.Endpoints[0].Port}";

    internal static ValueTask<Connection> ConnectAsync(SocketServer server, bool trusting = true) =>
        SocketClient.ConnectAsync(ByName(server), o =>
        {
            if (trusting)
                o.Tls.Authorities.Add(Authority.Shared.Root);
        }, Limits.Soon);
}
