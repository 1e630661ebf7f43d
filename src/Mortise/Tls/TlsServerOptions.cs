using System.Buffers;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Mortise.Tls;

namespace Mortise;

/// <summary>Whether a server asks its clients for certificates (mutual TLS).</summary>
public enum ClientCertificates
{
    /// <summary>No.</summary>
    None,

    /// <summary>Yes; who has none may come in, who shows one that is not trusted may not.</summary>
    Allow,

    /// <summary>Yes, and who has none that <see cref="TlsServerOptions.ClientAuthorities"/> signed may not.</summary>
    Require,
}

/// <summary>How a server speaks TLS 1.2 and 1.3 on its <c>tls://</c> endpoints.</summary>
/// <example><code>
/// await SocketServer.RunAsync("tls://*:7443", Codec.Lines(), (s, line) => s.SendAsync(line),
///     o => o.Tls.Certificate = TlsCertificate.FromPem("chain.pem", "key.pem"));
/// </code></example>
public sealed class TlsServerOptions
{
    private const SslProtocols Spoken = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>alert, TLS 1.2, 2 bytes: fatal, unrecognized_name (RFC 6066 3).</summary>
    private static readonly byte[] UnrecognizedName = [21, 3, 3, 0, 2, 2, 112];

    private SemaphoreSlim? _places;

    /// <summary>
    /// Who this server is, to clients that ask for none of <see cref="ServerNames"/>. Null refuses those.
    /// </summary>
    public TlsCertificate? Certificate { get; set; }

    /// <summary>
    /// Certificates by the host that a client asks for (SNI, RFC 6066): <c>a.example</c>, or <c>*.example</c> for every
    /// name one label below.
    /// </summary>
    public IDictionary<string, TlsCertificate> ServerNames { get; } =
        new Dictionary<string, TlsCertificate>(StringComparer.OrdinalIgnoreCase);

    /// <summary>
    /// The protocols that this server speaks, best first (ALPN, RFC 7301); what was agreed is <see
    /// cref="TlsInfo.ApplicationProtocol"/>. A client that offers others only is refused, one that offers none is not.
    /// </summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>Whether clients must show certificates. Default <see cref="ClientCertificates.None"/>.</summary>
    public ClientCertificates ClientCertificates { get; set; }

    /// <summary>
    /// Who may have signed the clients' certificates. Needed where they are asked for: the roots of the system would
    /// let in whoever has bought one.
    /// </summary>
    public X509Certificate2Collection ClientAuthorities { get; } = [];

    /// <summary>
    /// Handshakes that are computed at the same time; others wait for their turn within
    /// <see cref="ServerOptions.HandshakeTimeout"/>. One that waits for its client takes no place, so clients that
    /// stall keep nobody out, and a flood of handshakes leaves the processors to those who are in. At least 1; default
    /// one for each processor.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than 1.</exception>
    public int HandshakesMax
    {
        get;
        set
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            field = value;
        }
    } = Environment.ProcessorCount;

    /// <summary>
    /// For all else that .NET can set (ciphers, revocation, resumption), after the properties of this class. Called for
    /// each handshake. Versions before TLS 1.2 stay refused.
    /// </summary>
    public Action<SslServerAuthenticationOptions>? Configure { get; set; }

    /// <summary>Where it tells that a certificate was replaced, or could not be.</summary>
    internal ILogger Log { get; set; } = NullLogger.Instance;

    /// <summary>Could serve; else says why not, before the first client comes.</summary>
    /// <exception cref="InvalidSettingException">It could not.</exception>
    internal void Check(string where)
    {
        if (Certificate is null && ServerNames.Count == 0)
            throw new InvalidSettingException("serve", where, "TLS needs a certificate, and none is set",
                "set ServerOptions.Tls.Certificate (`--tls CERT[,KEY]`); for tests TlsCertificate.Development() "
                + "(`--tls dev`)");
        if (ClientCertificates != ClientCertificates.None && ClientAuthorities.Count == 0)
            throw new InvalidSettingException("serve", where, "clients shall show certificates, and nobody is trusted "
                + "to sign them", "set ServerOptions.Tls.ClientAuthorities (`--client-ca F`)");
        foreach (var certificate in ServerNames.Values.Prepend(Certificate))
            if (certificate is not null)
                Checked(Options(certificate, null), where);
    }

    /// <summary>Makes this side the server of TLS on a live connection.</summary>
    internal Task OpenAsync(Connection connection, CancellationToken cancellationToken)
    {
        var places = Volatile.Read(ref _places) ?? Interlocked.CompareExchange(ref _places, new(HandshakesMax), null)
            ?? _places;
        var handshake = new Handshake(connection, places, asServer: true);
        return handshake.RunAsync((stream, token) => stream.AuthenticateAsServerAsync(
            (_, hello, _, _) => new(Choose(connection, handshake, hello.ServerName)), null, token), null,
            cancellationToken);
    }

    private SslServerAuthenticationOptions Choose(Connection connection, Handshake handshake, string name)
    {
        if (For(name) is { } certificate)
            return Checked(Options(certificate, handshake, connection.RemoteEndpoint.ToString()), "tls");
        connection.WireOutput.Write(UnrecognizedName);
        throw handshake.Refusal = TlsFailures.UnknownName(name, ServerNames.Keys);
    }

    private TlsCertificate? For(string name)
    {
        if (ServerNames.Count == 0 || name.Length == 0)
            return Certificate;
        if (ServerNames.TryGetValue(name, out var own))
            return own;
        var dot = name.IndexOf('.');
        return dot > 0 && ServerNames.TryGetValue("*" + name[dot..], out var wild) ? wild : Certificate;
    }

    private SslServerAuthenticationOptions Options(TlsCertificate certificate, Handshake? handshake,
        string endpoint = "")
    {
        var options = new SslServerAuthenticationOptions
        {
            ServerCertificateContext = certificate.Context(Log),
            EnabledSslProtocols = Spoken,
            AllowRenegotiation = false,
            ClientCertificateRequired = ClientCertificates != ClientCertificates.None,
        };
        if (ApplicationProtocols.Count > 0)
            options.ApplicationProtocols = [.. ApplicationProtocols.Select(p => new SslApplicationProtocol(p))];
        if (options.ClientCertificateRequired)
        {
            options.CertificateChainPolicy = TlsClientOptions.Trusting(ClientAuthorities);
            // What a certificate says about where its issuer can be fetched is the client's word.
            options.CertificateChainPolicy.DisableCertificateDownloads = true;
            options.RemoteCertificateValidationCallback = (_, shown, chain, errors) =>
                errors == SslPolicyErrors.None || shown is null && ClientCertificates == ClientCertificates.Allow
                || Refuse(handshake, TlsFailures.NotTrusted(shown as X509Certificate2, chain, errors, null, endpoint));
        }

        Configure?.Invoke(options);
        return options;
    }

    private static bool Refuse(Handshake? handshake, HandshakeException why)
    {
        handshake?.Refusal = why;
        return false;
    }

    private static SslServerAuthenticationOptions Checked(SslServerAuthenticationOptions options, string where) =>
        options.EnabledSslProtocols != SslProtocols.None && (options.EnabledSslProtocols & ~Spoken) == 0
            ? options : throw TlsClientOptions.TooOld("serve", where, options.EnabledSslProtocols);
}
