using System.Globalization;
using System.Text;
using Mortise.Tests.Cli;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>
/// The C# of README.md is what people copy first. Its blocks become one program, `readme.cs NUMBER ENDPOINT`: all must
/// compile as they stand there, and the lines server and the client are run against each other.
/// </summary>
public sealed class ReadmeTests
{
    private static readonly string Readme = File.ReadAllText(Path.Combine(Repository.Root, "README.md"));

    [Fact]
    public async Task Its_code_compiles_and_its_client_talks_to_its_server()
    {
        var blocks = Blocks(Readme);
        var program = Path.Combine(Directory.CreateDirectory(
            Path.Combine(AppContext.BaseDirectory, "readme")).FullName, "readme.cs");
        foreach (var settings in Directory.GetFiles(Sample.Folder, "Directory.*.props"))
            File.Copy(settings, Path.Combine(Path.GetDirectoryName(program)!, Path.GetFileName(settings)), true);
        await File.WriteAllTextAsync(program, ProgramOf(blocks));

        var at = Loopback.FreeEndpoint();
        var (lines, client) = (Number(blocks, "Codec.Lines(), (session"), Number(blocks, "Console.WriteLine(await"));
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
        var chinese = File.ReadAllText(Path.Combine(Repository.Root, "README.zh-CN.md"));
        Assert.Equal(Blocks(Readme), Blocks(chinese));
        Assert.Equal(Blocks(Readme, "console"), Blocks(chinese, "console"));
        Assert.Equal(Headings(Readme), Headings(chinese));

        static int Headings(string page) => page.Split('\n').Count(l => l.StartsWith("## ", StringComparison.Ordinal));
    }

    private static List<string> Blocks(string page, string language = "csharp") =>
        [.. page.Split($"```{language}\n").Skip(1).Select(rest => rest.Split("```")[0])];

    private static string Number(List<string> blocks, string part) =>
        blocks.FindIndex(b => b.Contains(part)).ToString(CultureInfo.InvariantCulture);

    /// <summary>Each block is one case, at the endpoint given; its types are those of length-prefixed.cs.</summary>
    private static string ProgramOf(List<string> blocks)
    {
        var library = Path.Combine(Repository.Root, "src", "Mortise", "Mortise.csproj");
        var text = new StringBuilder($"#:project {library}\nusing System.Text.Json.Serialization;\nusing Mortise;\n");
        text.Append("switch (args[0])\n{\n");
        for (var i = 0; i < blocks.Count; i++)
        {
            var lines = blocks[i].Split('\n').Where(l => l is not (['#', ':', ..] or "using Mortise;"));
            var block = string.Join('\n', lines).Replace("\":7007\"", "args[1]");
            text.Append(CultureInfo.InvariantCulture, $"case \"{i}\":\n{{\n{block}break;\n}}\n");
        }

        var sample = Sample.TextOf("length-prefixed");
        return text.Append("}\n").Append(sample[sample.IndexOf("internal ", StringComparison.Ordinal)..]).ToString();
    }
}
