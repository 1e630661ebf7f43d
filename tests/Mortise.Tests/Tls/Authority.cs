using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Mortise.Tests.Tls;

/// <summary>A certificate authority of the tests, and what it signs.</summary>
internal sealed class Authority
{
    private readonly X509Certificate2 _root;

    public Authority(string name = "Mortise tests CA")
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        _root = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-30), DateTimeOffset.UtcNow.AddDays(30));
    }

    /// <summary>One for all tests that do not care.</summary>
    public static Authority Shared { get; } = new();

    /// <summary>For localhost and the loopback addresses; made once.</summary>
    public static TlsCertificate Localhost { get; } = TlsCertificate.From(Shared.Sign(["localhost"]));

    public string Pem => _root.ExportCertificatePem();

    public X509Certificate2 Root => _root;

    /// <summary>A server's certificate, valid from <paramref name="from"/> to <paramref name="to"/> days from
    /// now.</summary>
    public X509Certificate2 Sign(string[] names, double from = -1, double to = 10, bool forClient = false,
        bool rsa = false)
    {
        using AsymmetricAlgorithm key = rsa ? RSA.Create(2048) : ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var subject = new X500DistinguishedName($"CN={names[0]}");
        var request = key is RSA r
            ? new CertificateRequest(subject, r, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            : new CertificateRequest(subject, (ECDsa)key, HashAlgorithmName.SHA256);
        var alternatives = new SubjectAlternativeNameBuilder();
        foreach (var name in names)
            alternatives.AddDnsName(name);
        if (names.Contains("localhost"))
        {
            alternatives.AddIpAddress(IPAddress.Loopback);
            alternatives.AddIpAddress(IPAddress.IPv6Loopback);
        }

        request.CertificateExtensions.Add(alternatives.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid(forClient ? "1.3.6.1.5.5.7.3.2" : "1.3.6.1.5.5.7.3.1")], false));
        using var signed = request.Create(_root.SubjectName, Signer(), DateTimeOffset.UtcNow.AddDays(from),
            DateTimeOffset.UtcNow.AddDays(to), RandomNumberGenerator.GetBytes(8));
        return key is RSA rsaKey ? signed.CopyWithPrivateKey(rsaKey) : signed.CopyWithPrivateKey((ECDsa)key);
    }

    /// <summary>Certificate and key as PEM files of a folder; the certificate's path.</summary>
    public static (string Certificate, string Key) Write(X509Certificate2 certificate, string folder, string name)
    {
        var (file, keyFile) = (Path.Combine(folder, $"{name}.pem"), Path.Combine(folder, $"{name}-key.pem"));
        File.WriteAllText(file, certificate.ExportCertificatePem());
        using AsymmetricAlgorithm key = certificate.GetRSAPrivateKey() is { } rsa ? rsa
            : certificate.GetECDsaPrivateKey()!;
        File.WriteAllText(keyFile, key.ExportPkcs8PrivateKeyPem());
        return (file, keyFile);
    }

    private X509SignatureGenerator Signer() => X509SignatureGenerator.CreateForECDsa(_root.GetECDsaPrivateKey()!);
}
