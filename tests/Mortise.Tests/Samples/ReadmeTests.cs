using Mortise.Tests.Cli;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>
/// The C# of README.md is what people copy first: all of it must compile, and the lines server and the client are run
/// against each other.
/// </summary>
public sealed class ReadmeTests
{
    private static readonly Page Readme = new("README.md");

    [Fact]
    public async Task Its_code_compiles_and_its_client_talks_to_its_server()
    {
        var program = await Readme.WriteProgramAsync("readme");
        var at = Loopback.FreeEndpoint();
        var (lines, client) = (Readme.Number("Codec.Lines(), (session"), Readme.Number("Console.WriteLine(await"));
        await using var server = await Sample.StartFileAsync(program, lines, at.ToString());
        await using (await Sample.ConnectAsync(at))
        {
            // The server is up: the client of the README does not retry.
        }

        await using var talk = await Sample.StartFileAsync(program, client, at.ToString());
        Assert.Equal(0, await talk.ExitAsync());
        Assert.Equal("HELLO", talk.Output);
    }

    [Fact]
    public void The_Chinese_page_shows_the_same_code_and_commands()
    {
        var chinese = new Page("README.zh-CN.md");
        Assert.Equal(Readme.Blocks(), chinese.Blocks());
        Assert.Equal(Readme.Blocks("console"), chinese.Blocks("console"));
        Assert.Equal(Readme.Headings, chinese.Headings);
    }
}
