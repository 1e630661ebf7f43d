using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;

namespace Mortise;

/// <summary>How a connection is encrypted, as the handshake agreed.</summary>
/// <example><code>
/// Console.WriteLine(connection.Tls);   // TLS 1.3, TLS_AES_256_GCM_SHA384, chat.example
/// </code></example>
public sealed class TlsInfo
{
    internal TlsInfo(SslStream stream, string? serverName)
    {
        Protocol = stream.SslProtocol;
        CipherSuite = stream.NegotiatedCipherSuite;
        ServerName = serverName;
        var application = stream.NegotiatedApplicationProtocol;
        ApplicationProtocol = application.Protocol.IsEmpty ? null : application.ToString();
        PeerCertificate = stream.RemoteCertificate as X509Certificate2;
    }

    /// <summary>TLS 1.2 or TLS 1.3.</summary>
    public SslProtocols Protocol { get; }

    /// <summary>What encrypts and authenticates the bytes, by its name in the IANA registry.</summary>
    public TlsCipherSuite CipherSuite { get; }

    /// <summary>The host that the client asked for (SNI, RFC 6066); null where it named none.</summary>
    public string? ServerName { get; }

    /// <summary>The protocol that both agreed to speak (ALPN, RFC 7301); null where there was none.</summary>
    public string? ApplicationProtocol { get; }

    /// <summary>
    /// Who the peer is: the server's certificate on a client, the client's on a server that asks for one (<see
    /// cref="TlsServerOptions.ClientCertificates"/>). It was found trustworthy, unless that was switched off.
    /// </summary>
    public X509Certificate2? PeerCertificate { get; }

    /// <summary>One line for a log.</summary>
    public override string ToString() => string.Join(", ", new[]
    {
        Protocol == SslProtocols.Tls13 ? "TLS 1.3" : "TLS 1.2", CipherSuite.ToString(), ServerName, ApplicationProtocol,
    }.Where(part => part is not null));
}
