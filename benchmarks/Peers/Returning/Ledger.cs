namespace Mortise.Peers.Returning;

/// <summary>What a sender knows of one of its numbers.</summary>
internal enum Known
{
    /// <summary>It was refused to the last, and never sent.</summary>
    Never,

    /// <summary>The kernel has taken it, or the client keeps it.</summary>
    Accepted,

    /// <summary>The server has answered it.</summary>
    Answered,

    /// <summary>The client does not know.</summary>
    Unknown,
}

/// <summary>
/// Compares what senders know with what the server has written down: <c>KIND WHO NUMBER</c> a line, numbers of one
/// sender rising from 0.
/// </summary>
internal sealed class Ledger(string path)
{
    public const string Asked = "ask", Said = "say";

    private static readonly FileStreamOptions Shared = new() { Share = FileShare.ReadWrite };

    /// <summary>Everything written down so far. A line that the kill cut off counts as lost.</summary>
    public string[] Lines()
    {
        using var reader = new StreamReader(path, Shared);
        return reader.ReadToEnd().Split('\n')[..^1];
    }

    /// <summary>Counts of what must not be, and of what may.</summary>
    /// <param name="known">Of each sender, by its <c>KIND WHO</c>: what it knows of each of its numbers.</param>
    /// <param name="since">Of each sender: its first number after the last kill, from which on nothing may be
    /// lost.</param>
    public Dictionary<string, long> Judge(IReadOnlyDictionary<string, Known[]> known,
        IReadOnlyDictionary<string, int> since)
    {
        var counts = new Dictionary<string, long>
        {
            ["twice"] = 0, ["out_of_order"] = 0, ["there_though_never_sent"] = 0, ["answered_though_not_there"] = 0,
            ["lost_without_a_kill"] = 0, ["lost_in_a_killed_kernel_queue"] = 0, ["unknown_and_there"] = 0,
            ["unknown_and_not_there"] = 0,
        };
        var lines = Lines();
        counts["before_the_login"] =
            lines.Count(l => l.StartsWith(LedgerServer.NotLoggedIn, StringComparison.Ordinal));
        counts["logins"] = lines.Count(l => l == LedgerServer.Login);
        var entries = lines.Where(l => l.Split(' ') is [Asked or Said, _, _])
            .ToLookup(l => l[..l.LastIndexOf(' ')], l => int.Parse(l[(l.LastIndexOf(' ') + 1)..]));
        foreach (var (sender, outcomes) in known)
        {
            var (there, last) = (new HashSet<int>(), -1);
            foreach (var number in entries[sender])
            {
                counts["twice"] += there.Add(number) ? 0 : 1;
                counts["out_of_order"] += number < last ? 1 : 0;
                last = number;
            }

            for (var number = 0; number < outcomes.Length; number++)
            {
                if (Verdict(outcomes[number], there.Contains(number), number >= since[sender]) is { } verdict)
                    counts[verdict]++;
            }
        }

        return counts;
    }

    private static string? Verdict(Known known, bool isThere, bool isAfterTheLastKill) => (known, isThere) switch
    {
        (Known.Never, true) => "there_though_never_sent",
        (Known.Answered, false) => "answered_though_not_there",
        (Known.Accepted, false) => isAfterTheLastKill ? "lost_without_a_kill" : "lost_in_a_killed_kernel_queue",
        (Known.Unknown, true) => "unknown_and_there",
        (Known.Unknown, false) => "unknown_and_not_there",
        _ => null,
    };
}
