using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Mortise.Tls;

/// <summary>Certificates as they stand in files and stores, the own one first.</summary>
internal static class CertificateFiles
{
    public static X509Certificate2Collection ReadPem(byte[][] files, string? password)
    {
        var certificates = Encoding.UTF8.GetString(files[0]);
        var key = Encoding.UTF8.GetString(files[^1]);
        if (!certificates.Contains("-----BEGIN CERTIFICATE-----", StringComparison.Ordinal))
            throw new CryptographicException("there is no PEM certificate in it");
        if (!key.Contains("PRIVATE KEY-----", StringComparison.Ordinal))
            throw new CryptographicException("there is no PEM private key in it");
        var encrypted = key.Contains("-----BEGIN ENCRYPTED PRIVATE KEY-----", StringComparison.Ordinal);
        if (encrypted && password is null)
            throw new CryptographicException("its private key is encrypted, and no password is given");
        var own = encrypted ? X509Certificate2.CreateFromEncryptedPem(certificates, key, password)
            : X509Certificate2.CreateFromPem(certificates, key);
        var all = new X509Certificate2Collection();
        all.ImportFromPem(certificates);
        all[0].Dispose();
        all[0] = own;
        return all;
    }

    public static X509Certificate2Collection ReadPfx(byte[] file, string? password)
    {
        var all = X509CertificateLoader.LoadPkcs12Collection(file, password);
        var own = all.FirstOrDefault(c => c.HasPrivateKey)
            ?? throw new CryptographicException("there is no private key in it");
        all.Remove(own);
        all.Insert(0, own);
        return all;
    }

    public static X509Certificate2Collection ReadStore(string name, StoreName store, StoreLocation location)
    {
        using var open = new X509Store(store, location, OpenFlags.ReadOnly | OpenFlags.OpenExistingOnly);
        var own = open.Certificates.Where(c => c.HasPrivateKey
                && (c.Thumbprint.Equals(name, StringComparison.OrdinalIgnoreCase)
                    || c.Subject.Contains(name, StringComparison.OrdinalIgnoreCase)))
            .MaxBy(c => c.NotAfter) ?? throw new CryptographicException("there is no such certificate with its key");
        return [own];
    }

    /// <summary>Windows takes keys from its own store only.</summary>
    public static X509Certificate2 Usable(X509Certificate2 certificate) => OperatingSystem.IsWindows()
        ? X509CertificateLoader.LoadPkcs12(certificate.Export(X509ContentType.Pfx), null)
        : certificate;

    public static InvalidSettingException NotUsable(string name, Exception error) => error switch
    {
        FileNotFoundException or DirectoryNotFoundException => new("certificate", name,
            $"there is no file {(error as FileNotFoundException)?.FileName ?? name}", "is the path right?"),
        UnauthorizedAccessException => new("certificate", name, "this user may not read it",
            "see who may: `namei -l FILE`"),
        IOException => new("certificate", name, error.Message),
        _ => new("certificate", name, error.Message.TrimEnd('.').ReplaceLineEndings(" "),
            "look at it: `openssl x509 -noout -text -in FILE`; certificate and key must belong together"),
    };
}
