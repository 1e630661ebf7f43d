using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Mortise.Tls;

namespace Mortise;

/// <summary>
/// How a client speaks TLS 1.2 and 1.3. The server's certificate must be valid, trusted, and for the name that was
/// asked for.
/// </summary>
/// <example><code>
/// await using var c = await SocketClient.ConnectAsync("tls://chat.example:7443",
///     o => o.Tls.Authorities.ImportFromPemFile("our-ca.pem"));
/// </code></example>
public sealed class TlsClientOptions
{
    private const SslProtocols Spoken = SslProtocols.Tls12 | SslProtocols.Tls13;

    /// <summary>
    /// The name that is asked for (SNI, RFC 6066) and that the certificate must carry. Default the endpoint's host.
    /// </summary>
    public string? ServerName { get; set; }

    /// <summary>
    /// Who is trusted to sign the server's certificate, instead of the roots of the system. A certificate that signed
    /// itself can stand here too. Empty: the system's.
    /// </summary>
    public X509Certificate2Collection Authorities { get; } = [];

    /// <summary>Who this client is, to servers that ask (mutual TLS).</summary>
    public TlsCertificate? Certificate { get; set; }

    /// <summary>The protocols that this client speaks, best first (ALPN, RFC 7301).</summary>
    public IList<string> ApplicationProtocols { get; } = [];

    /// <summary>
    /// Takes any certificate from anybody: who stands between can read and change everything. For looking at a server,
    /// never for using one.
    /// </summary>
    public bool DangerousAcceptAnyCertificate { get; set; }

    /// <summary>
    /// For all else that .NET can set (ciphers, revocation, resumption), after the properties of this class. Versions
    /// before TLS 1.2 stay refused.
    /// </summary>
    public Action<SslClientAuthenticationOptions>? Configure { get; set; }

    /// <summary>Makes this side the client of TLS on a live connection.</summary>
    internal Task OpenAsync(Connection connection, string host, CancellationToken cancellationToken)
    {
        var name = ServerName ?? host;
        var handshake = new Handshake(connection, places: null, asServer: false);
        var options = Options(name, handshake, connection.RemoteEndpoint.ToString());
        return handshake.RunAsync((stream, token) => stream.AuthenticateAsClientAsync(options, token), name,
            cancellationToken);
    }

    internal static X509ChainPolicy Trusting(X509Certificate2Collection authorities)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.AddRange(authorities);
        return policy;
    }

    internal static InvalidSettingException TooOld(string operation, string where, SslProtocols protocols) =>
        new(operation, where, $"{protocols} is not spoken here", "TLS 1.2 and 1.3 are: choose from those");

    private SslClientAuthenticationOptions Options(string name, Handshake handshake, string endpoint)
    {
        var options = new SslClientAuthenticationOptions
        {
            TargetHost = name,
            EnabledSslProtocols = Spoken,
            AllowRenegotiation = false,
            ClientCertificateContext = Certificate?.Context(null),
            RemoteCertificateValidationCallback = (_, shown, chain, errors) =>
            {
                if (errors != SslPolicyErrors.None && !DangerousAcceptAnyCertificate)
                    handshake.Refusal =
                        TlsFailures.NotTrusted(shown as X509Certificate2, chain, errors, name, endpoint);
                return handshake.Refusal is null;
            },
        };
        if (ApplicationProtocols.Count > 0)
            options.ApplicationProtocols = [.. ApplicationProtocols.Select(p => new SslApplicationProtocol(p))];
        if (Authorities.Count > 0)
            options.CertificateChainPolicy = Trusting(Authorities);
        Configure?.Invoke(options);
        return options.EnabledSslProtocols != SslProtocols.None && (options.EnabledSslProtocols & ~Spoken) == 0
            ? options : throw TooOld("connect", endpoint, options.EnabledSslProtocols);
    }
}
