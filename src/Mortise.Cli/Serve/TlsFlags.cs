using System.CommandLine;

namespace Mortise.Cli.Serve;

/// <summary>How a server is encrypted, as its flags say.</summary>
internal sealed class TlsFlags
{
    private readonly Option<string?> _tls = new("--tls")
    {
        Description = "encrypt (TLS 1.2, 1.3) the tls:// endpoints and those without a scheme: dev makes and keeps a "
            + "certificate for this user, else PEM files, or a .pfx",
        HelpName = "dev|CERT[,KEY]",
    };

    private readonly Option<string?> _clientCa = new("--client-ca")
    {
        Description = "clients must show a certificate that one of these signed (PEM)",
        HelpName = "F",
    };

    private readonly Option<string?> _keyLog = TextValues.KeyLog();

    public IEnumerable<Option> All => [_tls, _clientCa, _keyLog];

    /// <summary>Where to listen: with <c>--tls</c> what was typed without a scheme is <c>tls://</c>.</summary>
    /// <exception cref="InvalidSettingException">A text is no endpoint, or nothing would be encrypted.</exception>
    public Endpoint[] Endpoints(ParseResult parsed, string[] given, string otherwise)
    {
        var isEncrypted = parsed.GetValue(_tls) is not null;
        var texts = given.Length > 0 ? given : [isEncrypted ? otherwise.Replace("tcp://", "") : otherwise];
        var endpoints = texts.Select(Endpoint.Parse).ToArray();
        for (var i = 0; isEncrypted && i < texts.Length; i++)
            if (endpoints[i].Kind == EndpointKind.Tcp && !texts[i].Contains("://", StringComparison.Ordinal))
                endpoints[i] = Endpoint.Parse("tls://" + endpoints[i].Authority);
        if (isEncrypted && endpoints.All(e => e.Kind != EndpointKind.Tls))
            throw new InvalidSettingException("serve", "--tls", "none of the endpoints would be encrypted",
                $"write tls:// instead of tcp://, e.g. tls://{endpoints[0].Authority}");
        return endpoints;
    }

    /// <param name="parsed">The flags.</param>
    /// <param name="note">For the one who starts it: whose certificate this is; null without TLS.</param>
    /// <exception cref="InvalidSettingException">A file cannot be used.</exception>
    public Action<ServerOptions> Read(ParseResult parsed, out string? note)
    {
        note = null;
        if (parsed.GetValue(_tls) is not { } text)
            return parsed.GetValue(_clientCa) is null ? _ => { }
                : throw new InvalidSettingException("serve", "--client-ca", "nothing is encrypted",
                    "add --tls dev, or --tls CERT[,KEY]");
        TextValues.LogKeys(parsed.GetValue(_keyLog));
        var certificate = TextValues.Certificate(text);
        var authorities = parsed.GetValue(_clientCa) is { } file ? TextValues.Authorities(file) : null;
        var shown = certificate.Current;
        note = $"certificate {TerminalText.Escape(shown.Subject)}, SHA-256 "
            + shown.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256)
            + (text == "dev" ? $"; nobody trusts it: give clients --ca {TextValues.DevelopmentFile}" : "");
        return o =>
        {
            o.Tls.Certificate = certificate;
            if (authorities is null)
                return;
            o.Tls.ClientCertificates = ClientCertificates.Require;
            o.Tls.ClientAuthorities.AddRange(authorities);
        };
    }
}
