using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mortise.Tls;

/// <summary>
/// The certificate that a developer's own servers show. Two files: <c>dev.pem</c> with the key, for this user alone,
/// and <c>dev-cert.pem</c> without it, for whoever shall trust the server.
/// </summary>
internal static class DevelopmentCertificate
{
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    private static readonly TimeSpan Lifetime = TimeSpan.FromDays(365);
    private static readonly TimeSpan LeftMin = TimeSpan.FromDays(14);

    public static string Folder => Path.Combine(Environment.GetFolderPath(
        Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "mortise");

    /// <summary>The file with certificate and key, made or replaced where that is needed.</summary>
    public static string In(string folder)
    {
        var file = Path.Combine(folder, "dev.pem");
        try
        {
            if (OperatingSystem.IsWindows())
                Directory.CreateDirectory(folder);
            else
                Directory.CreateDirectory(folder, OwnerOnly | UnixFileMode.UserExecute);
            var text = Usable(file) ?? Make();
            Keep(file, text, OwnerOnly);
            using var certificate = X509Certificate2.CreateFromPem(text);
            Keep(Path.Combine(folder, "dev-cert.pem"), certificate.ExportCertificatePem() + "\n",
                OwnerOnly | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
            return file;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidSettingException("certificate", folder,
                $"the development certificate cannot be kept there: {e.Message.TrimEnd('.')}",
                "name a certificate of your own, or set XDG_DATA_HOME to a folder that can be written");
        }
    }

    private static string? Usable(string file)
    {
        if (!File.Exists(file))
            return null;
        try
        {
            var text = File.ReadAllText(file);
            using var certificate = X509Certificate2.CreateFromPem(text, text);
            return certificate.NotAfter.ToUniversalTime() - DateTime.UtcNow > LeftMin ? text : null;
        }
        catch (CryptographicException)
        {
            return null; // somebody wrote to it; a new one costs nothing
        }
    }

    private static string Make()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=localhost, O=Mortise development", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        names.AddIpAddress(IPAddress.IPv6Loopback);
        if (Uri.CheckHostName(Environment.MachineName) == UriHostNameType.Dns)
            names.AddDnsName(Environment.MachineName.ToLowerInvariant());
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(
            new X509KeyUsageExtension(X509KeyUsageFlags.DigitalSignature, critical: true));
        request.CertificateExtensions.Add(
            new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1", "serverAuth")], critical: false));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = DateTimeOffset.UtcNow;
        using var certificate = request.CreateSelfSigned(now.AddHours(-1), now + Lifetime);
        return $"{certificate.ExportCertificatePem()}\n{key.ExportPkcs8PrivateKeyPem()}\n";
    }

    /// <summary>Whole or not at all, and never readable by others for a moment.</summary>
    private static void Keep(string file, string text, UnixFileMode mode)
    {
        if (File.Exists(file) && File.ReadAllText(file) == text)
            return;
        var draft = $"{file}.{Environment.ProcessId}";
        var options = new FileStreamOptions { Mode = FileMode.Create, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
            options.UnixCreateMode = mode;
        using (var writer = new StreamWriter(draft, options))
            writer.Write(text);
        File.Move(draft, file, overwrite: true);
    }
}
