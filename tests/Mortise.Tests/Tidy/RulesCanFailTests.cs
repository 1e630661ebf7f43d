using Xunit;

namespace Mortise.Tests.Tidy;

/// <summary>A check that never fails is no check: each rule is shown a file that breaks it.</summary>
public sealed class RulesCanFailTests
{
    [Fact]
    public void A_decent_file_has_no_findings()
    {
        var file = new SourceFile("src/Mortise/Framing/Cut.cs", """
            namespace Mortise.Framing;

            internal sealed class Cut
            {
                public static void Try(Action act)
                {
                    try { act(); }
                    catch (IOException) { /* the peer is gone already: nothing is left to say to it */ }
                }
            }
            """);
        Assert.Empty(TextRules.Check(file).Concat(CodeRules.Check(file)));
    }

    [Theory]
    [InlineData("src/Mortise/SocketHelpers.cs", "", "says nothing with 'Helpers'")]
    [InlineData("src/Mortise/Internal/Ring.cs", "", "says nothing with 'Internal'")]
    [InlineData("src/a.cs", "// TO" + "DO later", "left behind")]
    [InlineData("src/a.cs", "var p = \"/work" + "/x\";", "path of one machine")]
    [InlineData("docs/a.md", "text only", "0 titles")]
    [InlineData("docs/a.md", "# One\n# Two", "2 titles")]
    public void A_stray_name_mark_or_title_is_found(string path, string text, string finding) =>
        Assert.Contains(TextRules.Check(new(path, text)), f => f.Contains(finding));

    [Fact]
    public void A_line_or_a_file_that_is_too_long_is_found()
    {
        Assert.Contains(TextRules.Check(new("src/a.cs", new string('x', 121))), f => f.Contains("121 columns"));
        Assert.Empty(TextRules.Check(new("src/a.cs", new string('x', 120))));
        Assert.Contains(TextRules.Check(new("src/a.cs", new string('\n', 400) + "x")), f => f.Contains("401 lines"));
        Assert.Empty(TextRules.Check(new("docs/a.md", "# T\n```sh\n# a comment, no title\n```")));
    }

    [Fact]
    public void A_folder_with_one_file_or_with_thirteen_is_found()
    {
        var crowd = Enumerable.Range(0, 13).Select(i => $"src/P/Crowd/F{i}.cs");
        string[] paths = [.. crowd, "src/P/Alone/A.cs", "src/P/P.cs"];
        var findings = TextRules.CheckFolders(paths, ["src/P/P.csproj"]).ToList();
        Assert.Equal(2, findings.Count);
        Assert.Contains("Crowd: 13", findings[0]);
        Assert.Contains("Alone: 1", findings[1]);
    }

    [Theory]
    [InlineData("try { } catch { }", "empty catch")]
    [InlineData("unsafe { }", "unsafe code outside")]
    public void A_bad_statement_is_found(string statement, string finding) => Assert.Contains(
        CodeRules.Check(new("src/a.cs", $"class A {{ void M() {{ {statement} }} }}")), f => f.Contains(finding));

    [Theory]
    [InlineData("int gate;", "the field gate: _")]
    [InlineData("private readonly int Gate;", "the field Gate: _")]
    [InlineData("static int _last;", "the field _last: s_ or t_")]
    [InlineData("private static readonly int max;", "the field max: A-Z or s_")]
    [InlineData("const int max = 1;", "the field max: A-Z")]
    public void A_field_whose_name_hides_what_it_is_is_found(string field, string finding)
    {
        Assert.Contains(CodeRules.Check(new("src/a.cs", $"class A {{ {field} }}")), f => f.Contains(finding));
        const string good = "class A { int _a; static int s_b; const int C = 1; public int D; }";
        Assert.Empty(CodeRules.Check(new("src/a.cs", good)));
    }

    [Fact]
    public void A_method_of_seventy_one_lines_is_found()
    {
        string Method(int lines) => $"class A {{\nvoid M()\n{{\n{new string('\n', lines - 3)}}}\n}}";
        Assert.Contains(CodeRules.Check(new("a.cs", Method(71))), f => f.Contains("71 lines"));
        Assert.Empty(CodeRules.Check(new("a.cs", Method(70))));
    }

    [Theory]
    [InlineData("namespace Mortise.Framing; public class A;", "expected Mortise")]
    [InlineData("namespace Mortise; internal class A;", "expected Mortise.Framing")]
    [InlineData("namespace Mortise { public class A; }", "for the whole file")]
    [InlineData("namespace Mortise.Framing; internal class RingManager;", "the name says nothing")]
    public void A_type_in_the_wrong_place_is_found(string text, string finding) =>
        Assert.Contains(CodeRules.Check(new("src/Mortise/Framing/A.cs", text)), f => f.Contains(finding));

    [Fact]
    public void An_interface_with_one_implementer_is_found()
    {
        SourceFile Two(string access) => new("src/a.cs", $"{access} interface IOne<T>; class A : IOne<int>;");
        Assert.Contains(CodeRules.CheckInterfaces([Two("internal")]), f => f.Contains("IOne has 1"));
        Assert.Empty(CodeRules.CheckInterfaces([Two("public")]));
    }
}
