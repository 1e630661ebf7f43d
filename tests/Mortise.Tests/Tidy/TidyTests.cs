using Xunit;

namespace Mortise.Tests.Tidy;

/// <summary>The rules of the house hold for every file of the tree.</summary>
public sealed class TidyTests
{
    [Fact]
    public void Every_file_is_small_well_named_and_without_stray_marks() =>
        AssertNone(Repository.Files(".cs", ".md", ".sh", ".csproj", ".props").SelectMany(TextRules.Check));

    [Fact]
    public void Every_folder_can_be_seen_at_a_glance() => AssertNone(TextRules.CheckFolders(
        Repository.Files(".cs").Select(f => f.Path).Where(p => p.Split('/')[0] is "src" or "tests"),
        Repository.Files(".csproj").Select(f => f.Path)));

    [Fact]
    public void Every_method_catch_and_namespace_follows_the_house() =>
        AssertNone(Repository.Files(".cs").SelectMany(CodeRules.Check));

    [Fact]
    public void Every_interface_of_ours_has_two_implementers_or_is_published() => AssertNone(CodeRules.CheckInterfaces(
        Repository.Files(".cs").Where(f => f.Path.StartsWith("src/", StringComparison.Ordinal))));

    private static void AssertNone(IEnumerable<string> findings)
    {
        var list = findings.ToList();
        Assert.True(list.Count == 0, $"{list.Count} findings:\n  {string.Join("\n  ", list)}");
    }
}
