using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Mortise.Telemetry;
using Mortise.Tls;

namespace Mortise;

/// <summary>
/// Who this side is: a certificate, its private key, and the certificates between it and its CA. One that comes from
/// files is read again when they change: the next handshake uses the new one, and live connections keep theirs.
/// </summary>
/// <example><code>
/// var certificate = TlsCertificate.FromPem("/etc/ssl/chat/fullchain.pem", "/etc/ssl/chat/key.pem");
/// </code></example>
public sealed class TlsCertificate
{
    private readonly string _name;
    private readonly string[] _files;
    private readonly Func<byte[][], X509Certificate2Collection> _read;
    private readonly Lock _gate = new();
    private volatile Loaded? _loaded;
    private string? _refused;

    private TlsCertificate(string[] files, string name, Func<byte[][], X509Certificate2Collection> read)
    {
        (_files, _name, _read) = (files, name, read);
        _ = Load(Stamp());
    }

    /// <summary>The certificate that the next handshake shows.</summary>
    /// <exception cref="InvalidSettingException">A file changed and cannot be used, and nothing was loaded
    /// before.</exception>
    public X509Certificate2 Current => Now(null).Context.TargetCertificate;

    /// <summary>
    /// From PEM files (RFC 7468): the certificate, then those between it and its CA, and the key.
    /// </summary>
    /// <param name="certificateFile">One or more certificates, the own one first.</param>
    /// <param name="keyFile">The private key; null where it stands in the same file.</param>
    /// <param name="password">Where the key is encrypted.</param>
    /// <exception cref="InvalidSettingException">A file is missing, unreadable, or not what it should be.</exception>
    public static TlsCertificate FromPem(string certificateFile, string? keyFile = null, string? password = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(certificateFile);
        string[] files = keyFile is null ? [certificateFile] : [certificateFile, keyFile];
        return new(files, string.Join(",", files), read => CertificateFiles.ReadPem(read, password));
    }

    /// <summary>From a PKCS #12 file (<c>.pfx</c>, <c>.p12</c>; RFC 7292).</summary>
    /// <exception cref="InvalidSettingException">The file is missing, unreadable, or the password is
    /// wrong.</exception>
    public static TlsCertificate FromPfx(string file, string? password = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(file);
        return new([file], file, read => CertificateFiles.ReadPfx(read[0], password));
    }

    /// <summary>From an object; it is not disposed here.</summary>
    /// <param name="certificate">With its private key.</param>
    /// <param name="chain">The certificates between it and its CA.</param>
    /// <exception cref="InvalidSettingException">It has no private key.</exception>
    public static TlsCertificate From(X509Certificate2 certificate, X509Certificate2Collection? chain = null)
    {
        ArgumentNullException.ThrowIfNull(certificate);
        return new([], certificate.Subject, _ => [certificate, .. chain ?? []]);
    }

    /// <summary>From a store of the system or the user; read again by <see cref="Reload"/> only.</summary>
    /// <param name="name">The SHA-1 thumbprint, or a part of the subject; of several the one that is valid
    /// longest.</param>
    /// <param name="store">Default the user's own certificates.</param>
    /// <param name="location">Default the user's.</param>
    /// <exception cref="InvalidSettingException">There is none with a private key.</exception>
    public static TlsCertificate FromStore(string name, StoreName store = StoreName.My,
        StoreLocation location = StoreLocation.CurrentUser)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return new([], $"{location}/{store}/{name}", _ => CertificateFiles.ReadStore(name, store, location));
    }

    /// <summary>
    /// A certificate for <c>localhost</c> and this machine's name that signed itself, for development. It is made once,
    /// kept in the user's data folder with mode 0600 and replaced before it expires. Nobody trusts it until told to:
    /// give clients its public part, <c>dev-cert.pem</c> beside it, or compare its fingerprint.
    /// </summary>
    /// <param name="folder">Default <c>$XDG_DATA_HOME/mortise</c>, on Linux <c>~/.local/share/mortise</c>.</param>
    /// <exception cref="InvalidSettingException">The folder cannot be written.</exception>
    public static TlsCertificate Development(string? folder = null) =>
        FromPem(DevelopmentCertificate.In(folder ?? DevelopmentCertificate.Folder));

    /// <summary>
    /// Reads the files or the store again now, also where nothing seems to have changed.
    /// </summary>
    /// <exception cref="InvalidSettingException">What is there now cannot be used; the certificate loaded before stays
    /// in use.</exception>
    public void Reload() => _ = Load(Stamp());

    /// <summary>What <see cref="SslStream"/> shows to its peer. A file that cannot be used is told once.</summary>
    internal SslStreamCertificateContext Context(ILogger? log) => Now(log).Context;

    private Loaded Now(ILogger? log)
    {
        var stamp = Stamp();
        if (_loaded is { } loaded && loaded.Stamp == stamp)
            return loaded;
        lock (_gate)
        {
            if (_loaded is { } other && (other.Stamp == stamp || _refused == stamp))
                return other;
            try
            {
                var fresh = Load(stamp);
                if (log is not null)
                    ServerLog.CertificateReplaced(log, _name, fresh.Context.TargetCertificate.NotAfter);
                return fresh;
            }
            catch (InvalidSettingException e) when (_loaded is not null)
            {
                // The key and the certificate are two files: one of them may be new before the other is.
                _refused = stamp;
                if (log is not null)
                    ServerLog.CertificateNotReplaced(log, _name, e.Reason);
                return _loaded;
            }
        }
    }

    private Loaded Load(string stamp)
    {
        try
        {
            var all = _read([.. _files.Select(File.ReadAllBytes)]);
            if (all.Count == 0 || !all[0].HasPrivateKey)
                throw new CryptographicException("it has no private key");
            return _loaded = new(stamp, SslStreamCertificateContext.Create(CertificateFiles.Usable(all[0]),
                [.. all.Skip(1)], offline: true));
        }
        catch (Exception e) when (e is CryptographicException or IOException or UnauthorizedAccessException
            or ArgumentException and not ArgumentNullException)
        {
            throw CertificateFiles.NotUsable(_name, e);
        }
    }

    /// <summary>Changes when a file does, or the file that a link leads to.</summary>
    private string Stamp() => string.Join('|', _files.Select(static path =>
    {
        try
        {
            var file = File.ResolveLinkTarget(path, returnFinalTarget: true) as FileInfo ?? new FileInfo(path);
            return file.Exists ? $"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}" : "";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return ""; // reading it will say what is wrong
        }
    }));

    private sealed record Loaded(string Stamp, SslStreamCertificateContext Context);
}
