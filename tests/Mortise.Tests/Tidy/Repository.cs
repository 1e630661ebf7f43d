namespace Mortise.Tests.Tidy;

/// <summary>The working tree that the running tests were built from; paths are relative and use '/'.</summary>
internal static class Repository
{
    private static readonly string[] NotOurs = ["bin", "obj", "artifacts", ".git", ".vs", ".idea", "node_modules"];

    /// <summary>The folder that holds Mortise.slnx.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every file with one of these extensions, sorted, without what a build leaves behind.</summary>
    public static IReadOnlyList<SourceFile> Files(params string[] extensions)
    {
        var files = new List<SourceFile>();
        Collect(Root, extensions, files);
        files.Sort((a, b) => string.CompareOrdinal(a.Path, b.Path));
        return files;
    }

    /// <summary>The folder of a path inside src/Mortise ("" for its root), or null when it lies elsewhere.</summary>
    public static string? RoomOf(string path)
    {
        const string library = "src/Mortise/";
        var normal = path.Replace('\\', '/');
        var start = normal.StartsWith(library, StringComparison.Ordinal)
            ? 0
            : normal.LastIndexOf("/" + library, StringComparison.Ordinal) + 1;
        if (start == 0 && !normal.StartsWith(library, StringComparison.Ordinal))
            return null;
        var inside = normal[(start + library.Length)..];
        // A source generator's output lies under obj: it belongs to the room of the type it completes.
        return inside.StartsWith("obj/", StringComparison.Ordinal) ? null : Folder(inside);
    }

    public static string Folder(string path) => path.Contains('/') ? path[..path.LastIndexOf('/')] : "";

    private static void Collect(string directory, string[] extensions, List<SourceFile> files)
    {
        foreach (var file in Directory.EnumerateFiles(directory))
            if (extensions.Contains(Path.GetExtension(file)))
                files.Add(new(Path.GetRelativePath(Root, file).Replace('\\', '/'), File.ReadAllText(file)));
        foreach (var child in Directory.EnumerateDirectories(directory))
            if (!NotOurs.Contains(Path.GetFileName(child)))
                Collect(child, extensions, files);
    }

    private static string FindRoot()
    {
        var directory = new DirectoryInfo(AppContext.BaseDirectory);
        while (directory is not null && !File.Exists(Path.Combine(directory.FullName, "Mortise.slnx")))
            directory = directory.Parent;
        return directory?.FullName ?? throw new DirectoryNotFoundException("no Mortise.slnx above the tests");
    }
}

/// <summary>One file of the tree, or one that a test invents.</summary>
internal sealed record SourceFile(string Path, string Text)
{
    public string Extension => System.IO.Path.GetExtension(Path);

    public string[] Lines => Text.TrimEnd('\n').Split('\n');
}
