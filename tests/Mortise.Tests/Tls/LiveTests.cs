using System.Diagnostics;
using System.Text;
using Mortise.Tests.Conformance;
using Mortise.Tests.Server;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>TLS beside living connections: certificates that change, clients that stall, PROXY before it.</summary>
[Collection("alone")]
public sealed class LiveTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("tls").FullName;

    [Theory, MemberData(nameof(TlsClientTests.Kinds), MemberType = typeof(TlsClientTests))]
    public async Task A_new_certificate_drops_nobody_and_greets_the_next(EngineKind engine)
    {
        const int Live = 200;
        var (file, key) = Authority.Write(Authority.Shared.Sign(["localhost"], to: 5), _folder, "own");
        var certificate = TlsCertificate.FromPem(file, key);
        var first = certificate.Current.SerialNumber;
        var log = new WarningLog();
        await using var server = TlsClientTests.Echo(o =>
        {
            o.Transport.Set(engine);
            o.Logger = log;
            o.Tls.Certificate = certificate;
        });
        var clients = await Task.WhenAll(Enumerable.Range(0, Live).Select(_ =>
            TlsClientTests.ConnectAsync(server).AsTask()));
        Assert.All(clients, c => Assert.Equal(first, c.Tls!.PeerCertificate!.SerialNumber));

        // One file first: for a moment they do not belong together, and the old certificate serves on.
        var (newFile, newKey) = Authority.Write(Authority.Shared.Sign(["localhost"], to: 9), _folder, "new");
        File.Move(newFile, file, overwrite: true);
        await using (var between = await TlsClientTests.ConnectAsync(server))
            Assert.Equal(first, between.Tls!.PeerCertificate!.SerialNumber);
        Assert.Contains("changed and cannot be used, the old one stays", log.Text);
        File.Move(newKey, key, overwrite: true);
        await using (var after = await TlsClientTests.ConnectAsync(server))
            Assert.NotEqual(first, after.Tls!.PeerCertificate!.SerialNumber);

        foreach (var client in clients)
            await EchoAsync(client);
        Assert.Equal(Live, server.Connections.Count);
        foreach (var client in clients)
            await client.DisposeAsync();
    }

    [Theory, MemberData(nameof(TlsClientTests.Kinds), MemberType = typeof(TlsClientTests))]
    public async Task Clients_that_stall_in_their_handshake_harm_nobody_and_are_let_go(EngineKind engine)
    {
        const int Stalled = 300;
        var closed = 0;
        await using var server = TlsClientTests.Echo(o =>
        {
            o.Transport.Set(engine);
            o.Tls.HandshakesMax = 1;
            o.HandshakeTimeout = TimeSpan.FromSeconds(2);
            o.OnClosed = c => Interlocked.Add(ref closed, c.CloseReason == CloseReason.HandshakeTimeout ? 1 : 1000);
        });
        var hello = await HelloAsync();
        var stalled = new List<Connection>();
        for (var i = 0; i < Stalled; i++)
        {
            var one = await SocketClient.ConnectAsync($"tcp://{server.Endpoints[0].Authority}");
            await one.SendAsync(hello.AsMemory(0, i % 2 == 0 ? hello.Length : 20)); // the whole hello, or its beginning
            stalled.Add(one);
        }

        var since = Stopwatch.GetTimestamp();
        await using (var honest = await TlsClientTests.ConnectAsync(server))
            await EchoAsync(honest);
        Assert.InRange(Stopwatch.GetElapsedTime(since), TimeSpan.Zero, TimeSpan.FromSeconds(1.5));
        await Limits.UntilAsync(() => closed % 1000 == Stalled, $"{closed} were let go");
        foreach (var one in stalled)
            one.Abort();
    }

    [Theory, MemberData(nameof(TlsClientTests.Kinds), MemberType = typeof(TlsClientTests))]
    public async Task A_PROXY_header_stands_before_TLS(EngineKind engine)
    {
        var served = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = TlsClientTests.Echo(o =>
        {
            o.Transport.Set(engine);
            o.ProxyProtocol = ProxyProtocol.Require;
            o.TrustedProxies.Add(Cidr.Parse("127.0.0.1"));
            o.OnAccepted = c => served.TrySetResult(c);
        });
        await using var client = await SocketClient.ConnectAsync(TlsClientTests.ByName(server), o =>
        {
            o.ProxyHeader = ProxyHeader.V2("203.0.113.9:51000", "198.51.100.1:443");
            o.Tls.Authorities.Add(Authority.Shared.Root);
        });
        await EchoAsync(client);
        var connection = await served.Task.InTime();
        Assert.Equal(("tls://203.0.113.9:51000", "localhost"),
            (connection.RemoteEndpoint.ToString(), connection.Tls!.ServerName));
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_connection_becomes_encrypted_in_the_middle(string name)
    {
        if (name.Contains(Rig.Tls))
            return; // these begin with it
        await using var rig = await Rig.ConnectAsync(name);
        var server = Task.Run(async () =>
        {
            Assert.Equal("STARTTLS\n", await TextAsync(rig.Server, 9));
            await rig.Server.SendAsync("go\n"u8.ToArray());
            await rig.Server.StartTlsAsync(new TlsServerOptions { Certificate = Authority.Localhost }, Limits.Soon);
            await rig.Server.HandleAsync(Codec.Lines(), (s, line) => s.SendAsync(line + " in secret"));
        });
        await rig.Client.SendAsync("STARTTLS\n"u8.ToArray());
        Assert.Equal("go\n", await TextAsync(rig.Client, 3));
        var trusting = new TlsClientOptions();
        trusting.Authorities.Add(Authority.Shared.Root);
        await rig.Client.StartTlsAsync("localhost", trusting, Limits.Soon);
        await rig.Client.SendAsync("hello\n"u8.ToArray());
        Assert.Equal("hello in secret\n", await TextAsync(rig.Client, 16));
        Assert.Throws<InvalidOperationException>(() => { _ = rig.Client.StartTlsAsync("again"); });
        await rig.Client.ShutdownSendAsync();
        await server.InTime();
    }

    [Fact]
    public async Task What_follows_in_the_clear_never_counts_as_sent_under_TLS()
    {
        await using var rig = await Rig.ConnectAsync("managed tcp v4");
        var options = new TlsServerOptions { Certificate = Authority.Localhost };
        await rig.Client.SendAsync("STARTTLS\nRCPT TO:<eve@example>\n"u8.ToArray());
        Assert.Equal("STARTTLS\n", await TextAsync(rig.Server, 9));
        var there = await Assert.ThrowsAsync<HandshakeException>(
            () => rig.Server.StartTlsAsync(options, Limits.Soon).AsTask());
        Assert.Contains("the peer does not speak TLS: it began with \"RCPT TO:<eve@exa\"", there.Message);

        await rig.Server.SendAsync("go\nsmuggled\n"u8.ToArray());
        Assert.Equal("go\n", await TextAsync(rig.Client, 3));
        await Limits.UntilAsync(() => rig.Client.BytesReceived > 0, "nothing came");
        var here = await Assert.ThrowsAsync<HandshakeException>(
            () => rig.Client.StartTlsAsync("localhost", null, Limits.Soon).AsTask());
        Assert.Contains("9 bytes in the clear follow the server's answer", here.Message);
        Assert.Contains("CVE-2011-0411", here.Message);
    }

    [Fact]
    public void The_development_certificate_is_kept_for_its_owner_alone()
    {
        var first = TlsCertificate.Development(_folder).Current;
        Assert.Equal(first.SerialNumber, TlsCertificate.Development(_folder).Current.SerialNumber);
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode($"{_folder}/dev.pem"));
        Assert.DoesNotContain("PRIVATE", File.ReadAllText($"{_folder}/dev-cert.pem"));
        File.WriteAllText($"{_folder}/dev.pem", "somebody wrote to it");
        Assert.NotEqual(first.SerialNumber, TlsCertificate.Development(_folder).Current.SerialNumber);
    }

    [Fact]
    public void What_cannot_serve_is_said_before_the_first_client()
    {
        var none = Assert.Throws<InvalidSettingException>(() => TlsClientTests.Echo(o => o.Tls.Certificate = null));
        Assert.Contains("TLS needs a certificate", none.Message);
        Assert.Contains("nobody is trusted to sign them", Assert.Throws<InvalidSettingException>(() =>
            TlsClientTests.Echo(o => o.Tls.ClientCertificates = ClientCertificates.Allow)).Message);
        Assert.Contains("Tls11 is not spoken here", Assert.Throws<InvalidSettingException>(() =>
#pragma warning disable SYSLIB0039 // this is the refusal of it
            TlsClientTests.Echo(o => o.Tls.Configure = t => t.EnabledSslProtocols =
                System.Security.Authentication.SslProtocols.Tls11)).Message);
#pragma warning restore SYSLIB0039
        var (file, key) = Authority.Write(Authority.Shared.Sign(["a"]), _folder, "a");
        var (_, other) = Authority.Write(Authority.Shared.Sign(["b"]), _folder, "b");
        Assert.Throws<InvalidSettingException>(() => TlsCertificate.FromPem(file, other));
        Assert.Contains("no PEM private key", Assert.Throws<InvalidSettingException>(() =>
            TlsCertificate.FromPem(file)).Message);
        Assert.Contains("there is no file", Assert.Throws<InvalidSettingException>(() =>
            TlsCertificate.FromPfx($"{_folder}/none.pfx")).Message);
        File.WriteAllBytes($"{_folder}/a.pfx", TlsCertificate.FromPem(file, key).Current
            .Export(System.Security.Cryptography.X509Certificates.X509ContentType.Pfx, "secret"));
        Assert.Equal("CN=a", TlsCertificate.FromPfx($"{_folder}/a.pfx", "secret").Current.Subject);
        Assert.Throws<InvalidSettingException>(() => TlsCertificate.FromPfx($"{_folder}/a.pfx", "wrong"));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private static async Task EchoAsync(Connection client)
    {
        await client.SendAsync("still here"u8.ToArray());
        Assert.Equal("still here", await TextAsync(client, 10));
    }

    private static async Task<string> TextAsync(Connection connection, int bytes)
    {
        var all = new byte[bytes];
        await connection.ReceiveExactlyAsync(all, Limits.Soon);
        return Encoding.ASCII.GetString(all);
    }

    /// <summary>What a client begins with.</summary>
    private static async Task<byte[]> HelloAsync()
    {
        await using var rig = await Rig.ConnectAsync(Rig.Memory);
        var saying = rig.Client.StartTlsAsync("localhost", null, Limits.Soon).AsTask();
        var read = await rig.Server.Input.ReadAsync(Limits.Soon);
        var hello = System.Buffers.BuffersExtensions.ToArray(read.Buffer);
        rig.Server.Abort();
        await Assert.ThrowsAnyAsync<MortiseException>(() => saying.InTime());
        return hello;
    }
}
