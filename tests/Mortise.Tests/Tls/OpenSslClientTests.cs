using System.Net.Sockets;
using System.Security.Authentication;
using System.Text;
using Mortise.Tests.Conformance;
using Mortise.Tests.Server;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>
/// <c>openssl s_client</c> at our server: what is agreed is shown, and what is refused is explained to both.
/// </summary>
public sealed class OpenSslClientTests : IDisposable
{
    private readonly WarningLog _log = new();
    private readonly string _folder = Directory.CreateTempSubdirectory("tls").FullName;
    private readonly TaskCompletionSource<Connection> _served = New<Connection>();
    private readonly TaskCompletionSource<Connection> _closed = New<Connection>();

    public static TheoryData<EngineKind, string, SslProtocols> Versions { get; } = [.. Kinds.SelectMany(e =>
        new[] { (e, "-tls1_2", SslProtocols.Tls12), (e, "-tls1_3", SslProtocols.Tls13) })];

    private static EngineKind[] Kinds => [EngineKind.Managed, .. Engines.WithLoops.Select(e => e.Data)];

    [Theory, MemberData(nameof(Versions))]
    public async Task A_client_is_served_and_what_was_agreed_is_shown(EngineKind engine, string version,
        SslProtocols protocol)
    {
        await using var server = Start(o =>
        {
            o.Transport.Set(engine);
            o.Tls.ApplicationProtocols.Add("chat/2");
            o.Tls.ApplicationProtocols.Add("chat/1");
        });
        File.WriteAllText($"{_folder}/ca.pem", Authority.Shared.Pem);
        await using var client = OpenSsl.Client(server.Endpoints[0], $"{version} -servername localhost "
            + $"-alpn chat/0,chat/1 -CAfile {_folder}/ca.pem -verify_return_error -verify_hostname localhost");
        await client.Input.WriteAsync("hello over TLS\n");
        await client.Input.FlushAsync();
        await client.OutputAsync("HELLO OVER TLS$");
        Assert.Contains("Verify return code: 0 (ok)", client.Output);
        var tls = (await _served.Task.InTime()).Tls!;
        Assert.Equal((protocol, "localhost", "chat/1", null),
            (tls.Protocol, tls.ServerName, tls.ApplicationProtocol, tls.PeerCertificate));
        client.Input.Close();
        Assert.Equal(CloseReason.Eof, (await _closed.Task.InTime()).CloseReason);
        Assert.Equal("", _log.Text);
    }

    [Fact]
    public async Task Each_name_has_its_certificate_and_an_unknown_one_is_refused()
    {
        await using var server = Start(o =>
        {
            o.Tls.Certificate = null;
            o.Tls.ServerNames["a.example"] = TlsCertificate.From(Authority.Shared.Sign(["a.example"]));
            o.Tls.ServerNames["*.b.example"] = TlsCertificate.From(Authority.Shared.Sign(["*.b.example"]));
        });
        var at = server.Endpoints[0];
        Assert.Contains("subject=CN = a.example", await OpenSsl.TryAsync(at, "-servername A.example"));
        Assert.Contains("subject=CN = *.b.example", await OpenSsl.TryAsync(at, "-servername x.b.example"));
        Assert.Contains("unrecognized name", await OpenSsl.TryAsync(at, "-servername x.y.b.example"));
        await Limits.UntilAsync(() => _log.Text.Length > 0, "the refusal was not logged");
        Assert.Contains("there is no certificate for the name \"x.y.b.example\"", _log.Text);
        Assert.Contains("unrecognized name", await OpenSsl.TryAsync(at, "-noservername"));
        await Limits.UntilAsync(() => _log.Text.Contains("the client named no host"), _log.Text);
    }

    [Theory]
    [InlineData("-tls1_1 -cipher DEFAULT@SECLEVEL=0", "older than TLS 1.2", "protocol version")]
    [InlineData("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "no cipher in common", "handshake failure")]
    [InlineData("-alpn nobody/1", "no application protocol in common", "no application protocol")]
    public async Task What_cannot_be_agreed_is_explained_to_both(string flags, string here, string there)
    {
        await using var server = Start(o => o.Tls.ApplicationProtocols.Add("chat/1"));
        Assert.Contains(there, await OpenSsl.TryAsync(server.Endpoints[0], flags));
        Assert.Equal(CloseReason.Tls, (await _closed.Task.InTime()).CloseReason);
        Assert.Contains(here, _log.Text);
    }

    [Theory]
    [InlineData("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "it began with \"GET / HTTP/1.1\": an HTTP client")]
    [InlineData("hello\n", "it began with \"hello\": does the client mean to speak TLS?")]
    [InlineData("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "--proxy-protocol require")]
    [InlineData("\u0001\u0002\u0003\u0004", "it began with 01 02 03 04")]
    [InlineData("\u0016\u0003\u0001\u0000\u0005junk!", "the TLS hello is malformed")]
    [InlineData("", "the client left without a TLS hello")]
    public async Task What_is_no_hello_is_explained(string bytes, string explained)
    {
        await using var server = Start();
        using var client = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(server.Endpoints[0].ToSocketEndPoint()!, Limits.Soon);
        await client.SendAsync(Encoding.Latin1.GetBytes(bytes), Limits.Soon);
        client.Shutdown(SocketShutdown.Send);
        Assert.Equal(CloseReason.Tls, (await _closed.Task.InTime()).CloseReason);
        Assert.Contains(explained, _log.Text);
        Assert.False(_served.Task.IsCompleted);
    }

    [Fact]
    public async Task A_client_shows_who_it_is_or_stays_outside()
    {
        await using var server = Start(o =>
        {
            o.Tls.ClientCertificates = ClientCertificates.Require;
            o.Tls.ClientAuthorities.Add(Authority.Shared.Root);
        });
        var at = server.Endpoints[0];
        var (good, goodKey) = Authority.Write(Authority.Shared.Sign(["ada"], forClient: true), _folder, "ada");
        var (bad, badKey) = Authority.Write(new Authority("Somebody").Sign(["eve"], forClient: true), _folder, "eve");
        await OpenSsl.TryAsync(at, "");
        await Limits.UntilAsync(() => _log.Text.Contains("the client showed no certificate"), _log.Text);
        await OpenSsl.TryAsync(at, $"-cert {bad} -key {badKey}");
        await Limits.UntilAsync(() => _log.Text.Contains("signed by CN=Somebody, which nobody trusts"), _log.Text);
        Assert.False(_served.Task.IsCompleted);
        await using var client = OpenSsl.Client(at, $"-cert {good} -key {goodKey}");
        await client.Input.WriteAsync("it is me\n");
        await client.Input.FlushAsync();
        await client.OutputAsync("IT IS ME$");
        Assert.Equal("CN=ada", (await _served.Task.InTime()).Tls!.PeerCertificate!.Subject);
    }

    [Fact]
    public async Task A_client_that_does_not_trust_the_server_says_so_and_the_server_tells()
    {
        await using var server = Start();
        File.WriteAllText($"{_folder}/other.pem", new Authority("Somebody").Pem);
        var said = await OpenSsl.TryAsync(server.Endpoints[0], $"-verify_return_error -CAfile {_folder}/other.pem");
        Assert.Contains("verify error", said);
        Assert.Equal(CloseReason.Tls, (await _closed.Task.InTime()).CloseReason);
        Assert.Contains("does not trust the certificate of this side (its alert: unknown_ca)", _log.Text);
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private SocketServer Start(Action<ServerOptions>? configure = null) => SocketServer.Start("tls://127.0.0.1:0",
        Codec.Lines(), (session, line) =>
        {
            _served.TrySetResult(session.Connection);
            return session.SendAsync(line.ToUpperInvariant());
        }, o =>
        {
            o.Logger = _log;
            o.Tls.Certificate = Authority.Localhost;
            o.OnClosed = c => _closed.TrySetResult(c);
            configure?.Invoke(o);
        });

    private static TaskCompletionSource<T> New<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
