using System.Text.RegularExpressions;
using Mortise.Tests.Cli;
using Mortise.Tests.Samples;
using Xunit;

namespace Mortise.Tests.Tls;

/// <summary>docs/tls.md: its programs compile and run, its messages are those printed.</summary>
public sealed class TlsPageTests : IDisposable
{
    private static readonly Page Pages = new("docs", "tls.md");

    private readonly string _folder = Directory.CreateTempSubdirectory("tls").FullName;

    [Fact]
    public async Task Its_programs_compile_and_speak_with_each_other()
    {
        var program = await Pages.WriteProgramAsync("tls", "tls://127.0.0.1:7443");
        var (chain, key) = Authority.Write(Authority.Shared.Sign(["localhost"]), _folder, "chain");
        File.WriteAllText($"{_folder}/ca.pem", Authority.Shared.Pem);
        // The page names files of a folder that the reader is in.
        var text = File.ReadAllText(program).Replace("\"chain.pem\", \"key.pem\"", $"\"{chain}\", \"{key}\"")
            .Replace("\"ca.pem\"", $"\"{_folder}/ca.pem\"").Replace("\"tls://localhost:7443\"", "args[1]");
        File.WriteAllText(program, text);
        var at = Loopback.FreeEndpoint().Port;
        await using var server = await Sample.StartFileAsync(program, Pages.Number("ToUpperInvariant"),
            $"tls://127.0.0.1:{at}");
        await using (var waiting = await SocketClient.ConnectAsync($"tls://localhost:{at}", Codec.Lines(), o =>
        {
            o.Tls.Authorities.Add(Authority.Shared.Root);
            (o.Retries, o.RetryBackoff) = (200, Backoff.Constant(TimeSpan.FromMilliseconds(100)));
        }))
        {
            await waiting.SendAsync("quiet");
            Assert.Equal("QUIET", await waiting.ReceiveAsync());
        }

        await using var client = await Sample.StartFileAsync(program, Pages.Number("ImportFromPemFile"),
            $"tls://localhost:{at}");
        await client.OutputAsync("^HELLO by TLS 1.3, TLS_[A-Z0-9_]+, localhost$");
    }

    [Fact]
    public async Task Its_command_lines_say_what_is_printed()
    {
        await using var server = MortiseProcess.Shell(
            $"export XDG_DATA_HOME={_folder}; exec $MORTISE serve echo :0 --tls dev -v");
        var at = (await server.OutputAsync("^listening tls://127.0.0.1:([0-9]+)")).Groups[1].Value;
        await server.ErrorAsync("^certificate CN=localhost, O=Mortise development, SHA-256 [0-9A-F]{64}; nobody "
            + $"trusts it: give clients --ca {_folder}/mortise/dev-cert.pem$");
        var blocks = Pages.Blocks("console").Select(b => b.Replace("7007", at).Split('\n')).ToList();

        var refused = await MortiseProcess.RunAsync(["connect", $"tls://localhost:{at}"]);
        Assert.Equal((10, blocks[1][1]), (refused.ExitCode, refused.Error.Split('\n')[0]));
        var trusted = await MortiseProcess.RunAsync(["connect", $"tls://localhost:{at}", "-v", "--ca",
            $"{_folder}/mortise/dev-cert.pem", "--key-log", $"{_folder}/keys"], "hello\n");
        Assert.Equal((0, "hello"), (trusted.ExitCode, trusted.Output));
        Assert.Contains("(TLS 1.3, TLS_", trusted.Error);
        Assert.Contains("can read these connections", trusted.Error);
        Assert.Contains("CLIENT_TRAFFIC_SECRET_0 ", File.ReadAllText($"{_folder}/keys"));
        if (!OperatingSystem.IsWindows())
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode($"{_folder}/keys"));
        var insecure = await MortiseProcess.RunAsync(["connect", $"tls://127.0.0.1:{at}", "--insecure"], "hello\n");
        Assert.Contains("warning: --insecure: whose certificate this is was not checked: CN=localhost", insecure.Error);
        Assert.Equal("hello", insecure.Output);

        await MortiseProcess.RunShellAsync(blocks[2][0][2..].Replace("nc -N", "timeout 5 nc -N"));
        await server.ErrorAsync(Regex.Replace(Regex.Escape(blocks[2][1]), @"Connection\\ [0-9]+|:[0-9]+", ".*"));
    }

    [Fact]
    public async Task What_would_not_be_encrypted_or_not_serve_is_refused_at_the_start()
    {
        foreach (var (args, why) in ((string[], string)[])
            [
                (["echo", "tcp://127.0.0.1:0", "--tls", "dev"], "none of the endpoints would be encrypted"),
                (["echo", "tls://127.0.0.1:0"], "TLS needs a certificate, and none is set"),
                (["echo", ":0", "--tls", "/no/such.pem"], "there is no file /no/such.pem"),
                (["echo", ":0", "--client-ca", "x"], "nothing is encrypted"),
            ])
        {
            var run = await MortiseProcess.RunAsync(["serve", .. args]);
            Assert.Equal(2, run.ExitCode);
            Assert.Contains(why, run.Error);
        }
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);
}
