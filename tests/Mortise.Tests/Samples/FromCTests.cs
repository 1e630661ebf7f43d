using System.Text.RegularExpressions;
using Mortise.Tests.Tidy;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>docs/from-c-to-mortise.md: the statements of its right column are one program, and it works.</summary>
public sealed partial class FromCTests
{
    [Fact]
    public async Task Its_lines_compile_in_order_and_run()
    {
        var page = await File.ReadAllLinesAsync(Path.Combine(Repository.Root, "docs", "from-c-to-mortise.md"));
        var statements = page.Where(l => l.Contains(" | ")).Select(l => l.Split(" | ", 2)[1])
            .SelectMany(cell => Statement().Matches(cell)).Select(m => m.Groups[1].Value).ToList();
        Assert.InRange(statements.Count, 25, 60);
        var program = Path.Combine(Directory.CreateDirectory(
            Path.Combine(AppContext.BaseDirectory, "from-c")).FullName, "from-c.cs");
        foreach (var settings in Directory.GetFiles(Sample.Folder, "Directory.*.props"))
            File.Copy(settings, Path.Combine(Path.GetDirectoryName(program)!, Path.GetFileName(settings)), true);
        await File.WriteAllLinesAsync(program,
        [
            $"#:project {Path.Combine(Repository.Root, "src", "Mortise", "Mortise.csproj")}",
            "using System.Buffers;", "using System.Net.Sockets;", "using Mortise;", "MortiseException? fault = null;",
            .. statements,
            "Console.WriteLine((outcome, nobody, got, seen, read, datagram.Length, datagram.Truncated, http, net));",
        ]);

        await using var run = await Sample.StartFileAsync(program);
        Assert.Equal((0, ""), (await run.ExitAsync(), run.Error));
        Assert.Matches(@"^EADDRINUSE 98: .*; see who holds it", run.OutputLines[0]);
        Assert.Equal("(Ok, True, 2, 8, 4, 4, True, 80/tcp, 11043)", run.OutputLines[1]);
        Row.Observed("Z28", $"{statements.Count} statements of docs/from-c-to-mortise.md were compiled and run; "
            + "README's are too (ReadmeTests)");
    }

    [GeneratedRegex("`([^`]*[;}])`")]
    private static partial Regex Statement();
}
