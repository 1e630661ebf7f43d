using System.Text.RegularExpressions;

namespace Mortise.Tests.Tidy;

/// <summary>House rules that need no knowledge of C#: sizes, names, stray words. A finding is one line.</summary>
internal static partial class TextRules
{
    private const int FileLinesMax = 400;
    private const int LineColumnsMax = 120;
    private const int FolderFilesMin = 2;
    private const int FolderFilesMax = 12;

    // Written in pieces, so that this file obeys the rules it states.
    private static readonly Regex Markers = new(@"\b(TO" + "DO|FIX" + "ME|HA" + @"CK)\b");
    private static readonly Regex MachinePaths = new("(/work" + "/|/farm" + "/|/tmp/(arch|skel" + "eton))");

    /// <summary>A name that says nothing about what it holds.</summary>
    [GeneratedRegex(@"(Utils?|Helpers?|Common|Internal|Manager|Base|Impl)(?![a-z0-9])")]
    public static partial Regex EmptyName();

    public static IEnumerable<string> Check(SourceFile file)
    {
        var lines = file.Lines;
        if (file.Extension == ".cs" && lines.Length > FileLinesMax)
            yield return $"{file.Path}: {lines.Length} lines, at most {FileLinesMax}";
        if (EmptyName().Match(file.Path) is { Success: true } name)
            yield return $"{file.Path}: the path says nothing with '{name.Value}'";
        for (var i = 0; i < lines.Length; i++)
        {
            var where = $"{file.Path}:{i + 1}";
            if (file.Extension is not ".md" && lines[i].Length > LineColumnsMax)
                yield return $"{where}: {lines[i].Length} columns, at most {LineColumnsMax}";
            if (Markers.Match(lines[i]) is { Success: true } marker)
                yield return $"{where}: {marker.Value} left behind; write an issue or do it now";
            if (MachinePaths.Match(lines[i]) is { Success: true } path)
                yield return $"{where}: '{path.Value}' is a path of one machine";
        }
        if (file.Extension == ".md" && Titles(lines) is var titles and not 1)
            yield return $"{file.Path}: {titles} titles (lines beginning with '# '), exactly one";
    }

    /// <summary>The number of C# files directly in a folder. A project's own folder may hold fewer or more.</summary>
    public static IEnumerable<string> CheckFolders(IEnumerable<string> csharpPaths, IEnumerable<string> projectPaths)
    {
        var projects = projectPaths.Select(Repository.Folder).ToHashSet();
        foreach (var folder in csharpPaths.GroupBy(Repository.Folder).Where(f => !projects.Contains(f.Key)))
        {
            var library = folder.Key.StartsWith("src/", StringComparison.Ordinal);
            if (folder.Count() > FolderFilesMax || (library && folder.Count() < FolderFilesMin))
                yield return $"{folder.Key}: {folder.Count()} files, {FolderFilesMin} to {FolderFilesMax} in a folder";
        }
    }

    private static int Titles(string[] lines)
    {
        var (titles, inCode) = (0, false);
        foreach (var line in lines)
        {
            if (line.StartsWith("```", StringComparison.Ordinal))
                inCode = !inCode;
            else if (!inCode && line.StartsWith("# ", StringComparison.Ordinal))
                titles++;
        }
        return titles;
    }
}
