using System.Runtime.CompilerServices;

namespace Mortise.Tests;

/// <summary>
/// Ties a test to the row of the mission's checklist that it performs. `./build.sh rows` collects what was observed.
/// </summary>
public static class Row
{
    private static readonly Lock Gate = new();
    private static readonly string? Ledger = Environment.GetEnvironmentVariable("MORTISE_ROWS_FILE");

    /// <summary>Says what the test saw for one row; call it after the asserts: only a pass is recorded.</summary>
    public static void Observed(string row, string observed, [CallerMemberName] string test = "",
        [CallerFilePath] string file = "")
    {
        ArgumentException.ThrowIfNullOrEmpty(observed);
        if (Ledger is null)
            return;
        var room = Path.GetFileNameWithoutExtension(file);
        var oneLine = observed.ReplaceLineEndings(" ⏎ ").Replace('\t', ' ');
        lock (Gate)
            File.AppendAllText(Ledger, $"{row}\t{room}.{test}\t{oneLine}\n");
    }
}
