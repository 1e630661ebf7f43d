using System.Text.RegularExpressions;
using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>docs/proxy-protocol.md: its programs compile, its server says who comes, its messages are those printed.
/// </summary>
public sealed class ProxyPageTests
{
    private static readonly Page Proxies = new("docs", "proxy-protocol.md");

    [Fact]
    public async Task Its_code_compiles_and_its_server_says_whom_the_proxy_told()
    {
        var program = await Proxies.WriteProgramAsync("proxies");
        var at = Loopback.FreeEndpoint();
        await using var server = await Sample.StartFileAsync(program, Proxies.Number("you are"), at.ToString());
        await using var session = await SocketClient.ConnectAsync(at, Codec.Lines(), o =>
        {
            o.ProxyHeader = ProxyHeader.V2("203.0.113.9:51000", "198.51.100.1:443", checksum: true);
            (o.Retries, o.RetryBackoff) = (200, Backoff.Constant(TimeSpan.FromMilliseconds(100)));
        });
        Assert.Equal("you are 203.0.113.9:51000", await session.ReceiveAsync());

        await using var past = await SocketClient.ConnectAsync(at);
        await past.SendAsync("GET / HTTP/1.1\r\n"u8.ToArray());
        var printed = Proxies.Blocks("console").Single(b => b.Contains("did not open")).Split('\n')[1];
        var told = Regex.Replace(Regex.Escape(printed["warning: ".Length..]), @"Connection\\ [0-9]+|:[0-9]+", ".*");
        await server.ErrorAsync(told);
    }

    [Fact]
    public async Task A_range_that_is_nearly_one_is_refused_as_printed_there()
    {
        var printed = Proxies.Blocks("console").Single(b => b.Contains("did you mean")).Split('\n');
        var run = await MortiseProcess.RunAsync([.. printed[0].Split(' ')[2..]]);
        Assert.Equal(string.Join('\n', printed[1..3]), string.Join('\n', run.Error.Split('\n')[..2]));
    }
}
