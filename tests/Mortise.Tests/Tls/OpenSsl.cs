using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>The other side of TLS that is not ours: <c>openssl s_client</c> and <c>s_server</c>.</summary>
internal static class OpenSsl
{
    /// <summary>A client that is connected, or will say why it is not; it leaves when its input is closed.</summary>
    public static MortiseProcess Client(Endpoint server, string flags)
    {
        SkipUnlessInstalled();
        return MortiseProcess.Shell($"exec openssl s_client -connect {server.Authority} {flags} 2>&1");
    }

    /// <summary>All that a client says that has nothing to send.</summary>
    public static async Task<string> TryAsync(Endpoint server, string flags)
    {
        await using var client = Client(server, flags);
        client.Input.Close();
        await client.ExitAsync();
        return client.Output;
    }

    public static void SkipUnlessInstalled() =>
        Assert.SkipUnless(File.Exists("/usr/bin/openssl"), "openssl is not installed");
}
