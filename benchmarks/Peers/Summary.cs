using System.Text;

namespace Mortise.Peers;

/// <summary>One line of the table: medians over the rounds.</summary>
internal sealed record SummaryRow(string Load, string Server, double CpuMicroseconds, double RatioToSocket,
    double MessagesPerSecond, double P50Microseconds, double P99Microseconds);

/// <summary>Medians, and the ratios of the requirement: the median of each round's own ratio.</summary>
internal sealed class Summary
{
    private const string Compared = "mortise", Measure = "socket", Other = "kestrel";
    private const double SocketRatioMax = 1.10;

    private readonly List<Sample> _samples;

    public Summary(List<Sample> samples, string[] servers)
    {
        _samples = samples;
        var loads = samples.Select(s => s.Load).Distinct();
        Rows = [.. loads.SelectMany(load => servers.Select(server => Row(load, server)))];
    }

    public IReadOnlyList<SummaryRow> Rows { get; }

    /// <summary>What of the requirement was not met, in words; empty when all was.</summary>
    /// <remarks>What was not measured (NaN) was not met.</remarks>
    public List<string> Misses()
    {
        var misses = new List<string>();
        foreach (var load in _samples.Select(s => s.Load).Distinct().Where(l => LoadShape.Parse(l).IsRequired))
        {
            if (Ratio(load, Compared, Measure) is var toSocket && !(toSocket <= SocketRatioMax))
                misses.Add($"{load}: {toSocket:F2} times the CPU per message of {Measure}, not {SocketRatioMax:F2}");
            if (Ratio(load, Compared, Other) is var toKestrel && !(toKestrel < 1))
                misses.Add($"{load}: {toKestrel:F2} times the CPU per message of {Other}, less than 1 wanted");
        }

        return misses;
    }

    public string ToMarkdown()
    {
        var text = new StringBuilder();
        text.AppendLine("| load | server | CPU µs/message | ratio to socket | messages/s | p50 µs | p99 µs |");
        text.AppendLine("|---|---|---:|---:|---:|---:|---:|");
        foreach (var row in Rows)
        {
            text.AppendLine($"| {row.Load} | {row.Server} | {row.CpuMicroseconds:F2} | {row.RatioToSocket:F2} "
                + $"| {row.MessagesPerSecond:F0} | {row.P50Microseconds:F0} | {row.P99Microseconds:F0} |");
        }

        return text.ToString();
    }

    private SummaryRow Row(string load, string server)
    {
        var results = Of(load, server).Select(s => s.Result).ToList();
        return new SummaryRow(load, server, Median(results.Select(r => r.MicrosecondsPerMessage)),
            Ratio(load, server, Measure), Median(results.Select(r => r.MessagesPerSecond)),
            Median(results.Select(r => r.P50Ns / 1000)), Median(results.Select(r => r.P99Ns / 1000)));
    }

    private double Ratio(string load, string server, string to) =>
        Median(Of(load, server).Join(Of(load, to), a => a.Round, b => b.Round,
            (a, b) => a.Result.MicrosecondsPerMessage / b.Result.MicrosecondsPerMessage));

    private IEnumerable<Sample> Of(string load, string server) =>
        _samples.Where(s => s.Load == load && s.Server == server);

    private static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
