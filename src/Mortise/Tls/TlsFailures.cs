using System.Globalization;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Mortise.Errors;

namespace Mortise.Tls;

/// <summary>What went wrong with TLS, in words: which side refused what, and what to do about it.</summary>
internal static class TlsFailures
{
    /// <summary>
    /// What OpenSSL says (in any of the exceptions inside), in our words. The alerts are the peer's.
    /// </summary>
    private static readonly (string Said, string Reason, string Hint)[] Known =
    [
        ("no shared cipher", "the two sides have no cipher in common",
            "see what each offers: `openssl s_client -connect HOST:PORT`, `openssl ciphers -v`"),
        ("unsupported protocol", "the client offers only versions older than TLS 1.2",
            "update the client; TLS 1.0 and 1.1 are broken (RFC 8996) and stay off"),
        ("version too low", "the peer offers only versions older than TLS 1.2",
            "update the peer; TLS 1.0 and 1.1 are broken (RFC 8996) and stay off"),
        ("alert protocol version", "the peer speaks none of the versions that this side offers (its alert: "
            + "protocol_version)", "let both sides speak TLS 1.2 or 1.3"),
        ("no application protocol", "the two sides have no application protocol in common (ALPN)",
            "compare the ALPN names of both sides"),
        ("alert certificate required", "the server asks for a client certificate, and this side has shown none",
            "give one: TlsClientOptions.Certificate (`--cert CERT[,KEY]`)"),
        ("alert unknown ca", "the peer does not trust the certificate of this side (its alert: unknown_ca)",
            "give the peer the certificate of the CA that signed it"),
        ("alert certificate expired", "the peer says that the certificate of this side has expired",
            "renew it, and look at the clocks of both machines"),
        ("alert certificate revoked", "the peer says that the certificate of this side was revoked",
            "use another certificate"),
        ("alert bad certificate", "the peer does not accept the certificate of this side (its alert: "
            + "bad_certificate)", "look at its names, dates and issuer: `openssl x509 -text -in FILE`"),
        ("alert certificate unknown", "the peer does not accept the certificate of this side (its alert: "
            + "certificate_unknown)", "look at its names, dates and issuer: `openssl x509 -text -in FILE`"),
        ("alert unrecognized name", "the server has no certificate for the name that this side asked for (its alert: "
            + "unrecognized_name)", "connect by a name that the server knows"),
        ("alert handshake failure", "the peer found nothing that both sides can speak (its alert: handshake_failure)",
            "compare versions, ciphers and whether the peer wants a client certificate"),
        ("alert access denied", "the peer refuses this certificate (its alert: access_denied)",
            "ask whoever runs the peer"),
        ("bad record mac", "the bytes were changed on their way, or the peer has a fault (bad_record_mac)",
            "look for a proxy or a middlebox on the way"),
    ];

    /// <summary>The peer's first bytes are not of TLS; null where they are.</summary>
    public static HandshakeException? NoTls(Connection connection, ReadOnlySpan<byte> first, bool asServer)
    {
        // A server may also begin with an alert: it refuses the hello.
        if (first[0] == 0x16 || first[0] == 0x15 && !asServer)
            return null;
        var who = Strangers.Find(first)?.Who;
        var hint = who is null ? asServer
                ? "does the client mean to speak TLS? try it with `openssl s_client -connect HOST:PORT`"
                : "does that port speak TLS at all? try it with tcp://"
            : who == Strangers.ProxyHeader ? "the server is behind a proxy that sends headers: set "
                + "ServerOptions.ProxyProtocol (`--proxy-protocol require`)"
            : $"{who} on a port of the wrong kind?";
        return new("tls", CloseReason.Tls, $"the peer does not speak TLS: it began with {Quoted(first)}", hint,
            connection.RemoteEndpoint.ToString());
    }

    public static HandshakeException NoHello(Connection connection) => new("tls", CloseReason.Tls,
        "the client left without a TLS hello", "a health check or scan that only connects? nothing is wrong here",
        connection.RemoteEndpoint.ToString());

    /// <summary>A handshake that TLS gave up.</summary>
    public static HandshakeException NotAgreed(Connection connection, Exception error, bool asServer, bool ended)
    {
        var said = Said(error);
        var (reason, hint) = Explained(said) ?? (error is NotSupportedException
            ? ("the TLS hello is malformed", "does the client mean to speak TLS?") : ended
            ? ($"the {(asServer ? "client" : "server")} closed in the middle of the handshake", asServer
                ? "it may not trust this server's certificate; its own log says why"
                : "the server's log says why")
            : ($"the handshake failed: {Innermost(error)}",
                "see what each side offers: `openssl s_client -connect HOST:PORT`"));
        return new("tls", CloseReason.Tls, reason, hint, connection.RemoteEndpoint.ToString(), error);
    }

    /// <summary>A fault of the encrypted stream after its handshake.</summary>
    public static ConnectionException Broken(string operation, Connection connection, Exception error)
    {
        var endpoint = connection.RemoteEndpoint.ToString();
        if (error is EndOfStreamException)
            return new(operation, endpoint, CloseReason.Tls, CloseReason.Tls.Name(),
                "the peer ended without close_notify, so bytes may be missing (RFC 8446 6.1)",
                "let the peer end TLS before it closes; if it did, somebody between cut the stream", inner: error);
        var (reason, hint) = Explained(Said(error))
            ?? ($"the encrypted stream is broken: {Innermost(error)}", "look for a proxy or a middlebox on the way");
        return new(operation, endpoint, CloseReason.Tls, CloseReason.Tls.Name(), reason, hint, inner: error);
    }

    /// <summary>The client is asked for a name that this server has no certificate for.</summary>
    public static HandshakeException UnknownName(string name, IEnumerable<string> known) => new("tls",
        CloseReason.Tls, name.Length == 0 ? "the client named no host (SNI), and there is no certificate for that case"
            : $"there is no certificate for the name {Quoted(Encoding.UTF8.GetBytes(name))} that the client asked for",
        $"names here: {string.Join(", ", known)}; TlsServerOptions.Certificate serves all others");

    /// <summary>Why a peer's certificate is not accepted.</summary>
    /// <param name="certificate">What it showed, or null.</param>
    /// <param name="chain">What was built from it.</param>
    /// <param name="errors">What is wrong.</param>
    /// <param name="host">The name that it should carry; null for a client's.</param>
    /// <param name="endpoint">Where.</param>
    public static HandshakeException NotTrusted(X509Certificate2? certificate, X509Chain? chain,
        SslPolicyErrors errors, string? host, string endpoint)
    {
        var (reason, hint) = WhyNot(certificate, chain, errors, host);
        return new("tls", CloseReason.Tls, reason, hint, endpoint);
    }

    private static (string Reason, string Hint) WhyNot(X509Certificate2? certificate, X509Chain? chain,
        SslPolicyErrors errors, string? host)
    {
        var whose = host is null ? "the client's" : "the server's";
        if (certificate is null)
            return host is null
                ? ("the client showed no certificate, and this server requires one",
                    "give the client one that ClientAuthorities (`--client-ca F`) has signed")
                : ("the server showed no certificate", "look at it with `openssl s_client -connect HOST:PORT`");
        var states = chain?.ChainStatus ?? [];
        bool Is(X509ChainStatusFlags flag) => states.Any(s => (s.Status & flag) != 0);
        var trust = host is null ? "ClientAuthorities (`--client-ca F`)" : "TlsClientOptions.Authorities (`--ca F`)";
        if (Is(X509ChainStatusFlags.NotTimeValid))
            return NotInTime(certificate, chain!, whose);
        if ((errors & SslPolicyErrors.RemoteCertificateNameMismatch) != 0)
            return ($"{whose} certificate is for {Names(certificate)}, not for {host}",
                "connect by a name that it carries, or set TlsClientOptions.ServerName (`--server-name`)");
        if (certificate.SubjectName.RawData.AsSpan().SequenceEqual(certificate.IssuerName.RawData))
            return ($"{whose} certificate signed itself ({Subject(certificate)}), and nobody trusts it here",
                $"if it is yours, give it to {trust}; its SHA-256 is {Fingerprint(certificate)}");
        if (Is(X509ChainStatusFlags.UntrustedRoot | X509ChainStatusFlags.PartialChain))
            return ($"{whose} certificate is signed by {Shown(certificate.Issuer)}, which nobody trusts here",
                $"if that CA is yours, give its certificate to {trust}; else the server may not send the "
                + "certificates between");
        if (Is(X509ChainStatusFlags.Revoked))
            return ($"{whose} certificate was revoked by its CA", "it must be replaced");
        if (Is(X509ChainStatusFlags.NotValidForUsage))
            return ($"{whose} certificate is not made for this use",
                $"its extended key usage must allow {(host is null ? "clientAuth" : "serverAuth")}");
        return ($"{whose} certificate is not trusted: {string.Join(", ", states.Select(s => s.Status))}",
            "look at it with `openssl s_client -connect HOST:PORT`");
    }

    private static (string Reason, string Hint) NotInTime(X509Certificate2 certificate, X509Chain chain, string whose)
    {
        var one = chain.ChainElements.FirstOrDefault(e =>
            e.ChainElementStatus.Any(s => s.Status == X509ChainStatusFlags.NotTimeValid))?.Certificate ?? certificate;
        var what = one.RawDataMemory.Span.SequenceEqual(certificate.RawDataMemory.Span)
            ? $"{whose} certificate" : $"a certificate above {whose}, {Subject(one)},";
        return one.NotBefore.ToUniversalTime() > DateTime.UtcNow
            ? ($"{what} is not valid before {Date(one.NotBefore)}", "look at the clocks of both machines")
            : ($"{what} expired on {Date(one.NotAfter)}", "it must be renewed; look at the clock of this machine too");
    }

    public static string Fingerprint(X509Certificate2 certificate) =>
        certificate.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256);

    private static string Names(X509Certificate2 certificate)
    {
        var names = certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>()
            .SelectMany(n => n.EnumerateDnsNames().Concat(n.EnumerateIPAddresses().Select(a => a.ToString()))).ToList();
        return names.Count == 0 ? $"no host at all ({Subject(certificate)})" : Shown(string.Join(", ", names));
    }

    private static string Subject(X509Certificate2 certificate) => Shown(certificate.Subject);

    private static string Date(DateTime time) =>
        time.ToUniversalTime().ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture);

    private static (string Reason, string Hint)? Explained(string said)
    {
        foreach (var (words, reason, hint) in Known)
            if (said.Contains(words, StringComparison.OrdinalIgnoreCase))
                return (reason, hint);
        return null;
    }

    private static string Said(Exception error)
    {
        var all = new StringBuilder();
        for (Exception? at = error; at is not null; at = at.InnerException)
            all.Append(at.Message).Append('\n');
        return all.ToString();
    }

    private static string Innermost(Exception error)
    {
        while (error.InnerException is { } inner)
            error = inner;
        return Shown(error.Message.TrimEnd('.'));
    }

    /// <summary>Names in certificates are the peer's words: short, and nothing that a terminal obeys.</summary>
    private static string Shown(string text) =>
        new([.. text.Take(200).Select(c => c < ' ' || c is >= '\x7f' and < '\xa0'
            || char.GetUnicodeCategory(c) is UnicodeCategory.Format ? '?' : c)]);

    /// <summary>Text up to its first end of line.</summary>
    private static string Quoted(ReadOnlySpan<byte> bytes)
    {
        var end = bytes.IndexOfAny((byte)'\r', (byte)'\n');
        return Strangers.Quoted(end > 0 ? bytes[..end] : bytes);
    }
}
