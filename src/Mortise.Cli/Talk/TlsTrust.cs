using System.CommandLine;

namespace Mortise.Cli.Talk;

/// <summary>Whom a client trusts on <c>tls://</c>, and who it is, as its flags say.</summary>
internal sealed class TlsTrust
{
    private readonly Option<string?> _ca = new("--ca")
    {
        Description = "tls://: trust what these certificates signed, or are (PEM), instead of the system's roots",
        HelpName = "F",
    };

    private readonly Option<string?> _cert = new("--cert")
    {
        Description = "tls://: show this certificate to a server that asks for one (PEM files, or a .pfx)",
        HelpName = "CERT[,KEY]",
    };

    private readonly Option<string?> _serverName = new("--server-name")
    {
        Description = "tls://: ask for this host (SNI), whose certificate it must be, instead of the endpoint's",
        HelpName = "NAME",
    };

    private readonly Option<string[]> _alpn = new("--alpn")
    {
        Description = "tls://: offer this application protocol, best first",
        HelpName = "NAME",
    };

    private readonly Option<bool> _insecure = new("--insecure")
    {
        Description = "tls://: take any certificate; whoever stands between can read and change everything",
    };

    private readonly Option<string?> _keyLog = TextValues.KeyLog();

    public void AddTo(Command command)
    {
        Option[] all = [_ca, _cert, _serverName, _alpn, _insecure, _keyLog];
        foreach (var option in all)
            command.Add(option);
    }

    /// <exception cref="InvalidSettingException">A file cannot be used.</exception>
    public Action<TlsClientOptions> Read(ParseResult parsed)
    {
        TextValues.LogKeys(parsed.GetValue(_keyLog));
        var authorities = parsed.GetValue(_ca) is { } file ? TextValues.Authorities(file) : [];
        var own = parsed.GetValue(_cert) is { } text ? TextValues.Certificate(text) : null;
        return tls =>
        {
            tls.Authorities.AddRange(authorities);
            tls.Certificate = own;
            tls.ServerName = parsed.GetValue(_serverName);
            tls.DangerousAcceptAnyCertificate = parsed.GetValue(_insecure);
            foreach (var name in parsed.GetValue(_alpn) ?? [])
                tls.ApplicationProtocols.Add(name);
        };
    }

    /// <summary>Never in silence.</summary>
    public void Warn(ParseResult parsed, Connection connection)
    {
        if (!parsed.GetValue(_insecure) || connection.Tls is not { PeerCertificate: { } peer })
            return;
        Console.Error.WriteLine("warning: --insecure: whose certificate this is was not checked: "
            + $"{TerminalText.Escape(peer.Subject)}, SHA-256 "
            + peer.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256));
    }
}
