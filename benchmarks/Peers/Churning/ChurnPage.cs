using System.Text;

namespace Mortise.Peers.Churning;

/// <summary>The page of <c>bench churn</c>: everything on it is made of the data.</summary>
internal static class ChurnPage
{
    private static readonly (char Way, string Told)[] Ways =
    [
        ('C', "client finishes first, after the echo"), ('H', "client finishes its side, then reads the echo"),
        ('R', "client resets in the midst of the echo"), ('S', "server closes after the echo"),
        ('T', "server finishes its side, then reads to the end"), ('A', "server resets after half of the echo"),
    ];

    public static string Write(ChurnData data)
    {
        var text = new StringBuilder();
        void Line(string line = "") => text.Append(line).Append('\n');
        void Row(string name, Func<Churned, object> value) =>
            Line($"| {name} | {string.Join(" | ", data.Engines.Select(value))} |");

        Line($"# Connections that come and go, {data.Machine.Date}");
        Line();
        Line(data.Machine.ToMarkdown());
        Line();
        Line($"""
            {data.Concurrent} connections at a time, each with 1 to 98,304 random bytes and a random end (seed
            {data.Seed}); every byte that comes back is compared with what was sent. "Left" is the server's own count
            at the end less that after its first two hundred connections.
            """);
        Line();
        Line($"| | {string.Join(" | ", data.Engines.Select(e => e.Engine))} |");
        Line($"|---|{string.Concat(data.Engines.Select(_ => "---:|"))}");
        Row("connections", e => e.OfLoad("connections"));
        Row("seconds", e => $"{e.Seconds:F1}");
        foreach (var (way, told) in Ways)
            Row($"ended as they should: {told}", e => e.OfLoad($"{way}"));
        Row("bytes echoed", e => e.OfLoad("bytes"));
        Row("wrong bytes", e => e.OfLoad("wrongBytes"));
        Row("echoes cut short", e => e.OfLoad("cutShort"));
        Row("failed otherwise", e => e.OfLoad("failed"));
        foreach (var name in Churned.Alive)
            Row($"left: {name}", e => e.Left(name));
        foreach (var name in data.Engines.SelectMany(e => e.After.Where(c => c.Value > 0).Select(c => c.Key))
            .Except(Churned.Alive).Distinct().Order(StringComparer.Ordinal))
            Row($"server: {name}", e => e.Left(name));
        Row("verdict", e => e.IsClean ? "clean" : "**not clean**");
        if (data.Failures.Count > 0)
        {
            Line();
            Line("## Missing and failed");
            Line();
            foreach (var failure in data.Failures)
                Line($"- {failure}");
        }

        return text.ToString();
    }
}
