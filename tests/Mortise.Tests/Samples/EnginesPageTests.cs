using System.Text.RegularExpressions;
using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>docs/engines.md: its programs compile, and do what the page says they do.</summary>
public sealed class EnginesPageTests
{
    private static readonly Page Engines = new("docs", "engines.md");

    [Fact]
    public async Task Its_code_compiles_and_a_handler_that_blocks_is_named_as_printed_there()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "event loops are Linux's");
        var program = await Engines.WriteProgramAsync("engines");
        var at = Loopback.FreeEndpoint();
        await using var server = await Sample.StartFileAsync(program, Engines.Number("Task Price"), at.ToString());
        await using var session = await Sample.ConnectAsync(at, Codec.Lines());
        await session.SendAsync("what is it?");
        Assert.Equal("42", await session.ReceiveAsync());

        var printed = Engines.Blocks("console").Single(b => b.Contains("has blocked"));
        await server.ErrorAsync(Regex.Replace(Regex.Escape(printed.Trim()), "[0-9]+", "[0-9]+"));
    }

    [Fact]
    public async Task The_server_on_one_epoll_loop_says_so()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "event loops are Linux's");
        var program = await Engines.WriteProgramAsync("engines");
        await using var server = await Sample.StartFileAsync(program, Engines.Number("EngineKind.Epoll"),
            Loopback.FreeEndpoint().ToString());
        Assert.Equal(0, await server.ExitAsync());
        Assert.Equal("epoll: asked for", server.Output);
    }
}
