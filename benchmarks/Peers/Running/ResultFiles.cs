using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Mortise.Peers.Running;

/// <summary>NAME-DATE.md (the page) and NAME-DATE.json (the raw data) in a folder.</summary>
internal static class ResultFiles
{
    /// <summary>Overwrites those of the same day: a bench writes after each round, so that little is lost.</summary>
    public static void Write<T>(string? folder, string name, Machine machine, string page, T data, JsonTypeInfo<T> type)
    {
        if (folder is null)
            return;
        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, $"{name}-{machine.Date}");
        File.WriteAllText(path + ".md", page.ReplaceLineEndings("\n").TrimEnd() + "\n");
        File.WriteAllText(path + ".json", JsonSerializer.Serialize(data, type) + "\n");
    }
}
