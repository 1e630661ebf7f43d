using System.Globalization;
using System.Text;
using Mortise.Tests.Tidy;

namespace Mortise.Tests.Samples;

/// <summary>
/// A page of the documentation whose blocks of C# are copied by its readers. They become one program,
/// <c>NAME.cs NUMBER ENDPOINT</c>, so all must compile as they stand there and each can be run.
/// </summary>
internal sealed class Page(params string[] path)
{
    private readonly string _text = File.ReadAllText(Path.Combine([Repository.Root, .. path]));

    public List<string> Blocks(string language = "csharp") =>
        [.. _text.Split($"```{language}\n").Skip(1).Select(rest => rest.Split("```")[0])];

    public int Headings => _text.Split('\n').Count(l => l.StartsWith("## ", StringComparison.Ordinal));

    /// <summary>The number of the block that contains this.</summary>
    public string Number(string part) =>
        Blocks().FindIndex(b => b.Contains(part)).ToString(CultureInfo.InvariantCulture);

    /// <summary>Writes the program, in a folder of its own, and says where.</summary>
    public async Task<string> WriteProgramAsync(string name, string at = ":7007")
    {
        var folder = Directory.CreateDirectory(Path.Combine(AppContext.BaseDirectory, name)).FullName;
        foreach (var settings in Directory.GetFiles(Sample.Folder, "Directory.*.props"))
            File.Copy(settings, Path.Combine(folder, Path.GetFileName(settings)), true);
        var program = Path.Combine(folder, name + ".cs");
        await File.WriteAllTextAsync(program, ProgramText(at));
        return program;
    }

    /// <summary>Each block is one case, at the endpoint given; its types are those of length-prefixed.cs.</summary>
    private string ProgramText(string at)
    {
        var text = new StringBuilder();
        foreach (var name in (string[])["Mortise", "Mortise.Testing"])
            text.Append(CultureInfo.InvariantCulture,
                $"#:project {Path.Combine(Repository.Root, "src", name, $"{name}.csproj")}\n");
        text.Append("using System.Text.Json.Serialization;\nusing Mortise;\nusing Mortise.Testing;\n");
        text.Append("switch (args[0])\n{\n");
        var blocks = Blocks();
        for (var i = 0; i < blocks.Count; i++)
        {
            var lines = blocks[i].Split('\n').Where(l => l is not (['#', ':', ..] or "using Mortise;"));
            var block = string.Join('\n', lines).Replace($"\"{at}\"", "args[1]");
            text.Append(CultureInfo.InvariantCulture, $"case \"{i}\":\n{{\n{block}break;\n}}\n");
        }

        var sample = Sample.TextOf("length-prefixed");
        return text.Append("}\n").Append(sample[sample.IndexOf("internal ", StringComparison.Ordinal)..]).ToString();
    }
}
