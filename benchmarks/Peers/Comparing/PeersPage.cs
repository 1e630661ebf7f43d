using System.Globalization;
using System.Text;
using Mortise.Peers.Running;
using Mortise.Peers.Servers;

namespace Mortise.Peers.Comparing;

/// <summary>The page of <c>bench peers</c>: everything on it is made of the data.</summary>
internal sealed class PeersPage
{
    private static readonly CultureInfo Culture = CultureInfo.InvariantCulture;

    private readonly PeersData _data;
    private readonly bool _byCycles;
    private readonly string[] _loads;
    private readonly List<Cell> _cells;
    private readonly StringBuilder _text = new();

    public PeersPage(PeersData data)
    {
        _data = data;
        _byCycles = data.Pairs.Count > 0 && data.Pairs.All(p => !double.IsNaN(p.CycleRatio));
        _loads = [.. data.Pairs.Select(p => p.Load).Distinct()];
        var order = Contestant.All.Select(c => c.Name).ToList();
        _cells = [.. data.Pairs.GroupBy(p => (p.Load, p.Server))
            .OrderBy(g => Array.IndexOf(_loads, g.Key.Load)).ThenBy(g => order.IndexOf(g.Key.Server))
            .Select(g => new Cell(g.Key.Load, g.Key.Server, [.. g], _byCycles))];
    }

    public string ToMarkdown()
    {
        _text.Clear();
        Line($"# Servers side by side, {_data.Machine.Date}").Line().Line(_data.Machine.ToMarkdown()).Line();
        Method();
        if (_cells.Count > 0)
        {
            Line("Servers:").Line();
            foreach (var server in _cells.Select(c => c.Server).Distinct())
                Line($"- {server}: {Contestant.Named(server).About}");
            Line();
            MustShow();
            Managed();
            foreach (var load in _loads)
                Everything(load);
        }

        if (_data.Latencies.Count > 0)
            Latency();
        if (_data.Allocations.Count > 0)
            Allocations();
        if (_cells.Count > 0)
            NotAhead();
        if (_data.Failures.Count > 0)
        {
            Line("## Missing and failed").Line();
            foreach (var failure in _data.Failures)
                Line($"- {failure}");
        }

        return _text.ToString();
    }

    private void Method()
    {
        Line($"""
            A load is connections × bytes × messages on the way per connection; a stream keeps its bytes on the way all
            the time. Server and load share CPU {_data.Cpu}, so that the distance of two processors is no part of the
            result. Each pair starts the server and the raw C one afresh (a free port each, one listener asserted,
            every echo compared byte by byte), warms both (a runtime until its JIT has been quiet for half a second),
            and then lets their windows alternate, A B B A, {_data.SecondsEach} s of each in all. The order of the
            servers turns with every round. A ratio is that of {(_byCycles ? "cycles" : "server CPU time")} per
            message within the pair; the table has the median over the pairs and its 95 % bootstrap interval. A target
            is reached when the upper end is at most {Target.Tolerance} above it, not reached when the lower end is
            not, and not separable otherwise.

            What is compared is the CPU of the server's process alone (its own CPU clock, all threads, kernel side
            included), so the load generator cannot be what limits it: both sit on one CPU, the server never waits for
            anything but its turn, and the shares below show what each of them took of it. Messages per second include
            the load's own work and are for orientation.
            """).Line();
        Line(_cells.Any(c => c.UserInstructions is not null)
            ? "Instructions are those of the server in user mode (perf_event_open)."
            : "This machine counts no instructions or cycles (perf_event_open: not supported); CPU time decides.");
        Line();
    }

    private void MustShow()
    {
        Line("## What must be shown").Line();
        Line("| load | bytes, io_uring | bytes, epoll | lines, best engine | raw C io_uring |");
        Line("|---|---|---|---|---|");
        foreach (var load in _loads)
        {
            var lines = new[] { Find(load, "mortise-uring-lines"), Find(load, "mortise-epoll-lines") }
                .OfType<Cell>().MinBy(c => c.Ratio.Median);
            Line($"| {load} | {Judged(Find(load, "mortise-uring"))} | {Judged(Find(load, "mortise-epoll"))} "
                + $"| {Judged(lines)} | {Find(load, "c-uring")?.Ratio.ToString() ?? "–"} |");
        }

        Line();

        static string Judged(Cell? cell) => cell is null ? "–"
            : $"{cell.Ratio} {cell.Verdict}{(cell.Server.EndsWith("lines", StringComparison.Ordinal)
                ? $" ({cell.Server})" : "")}";
    }

    /// <summary>The engine of every other system, against what it stands on.</summary>
    private void Managed()
    {
        var rows = _loads.Select(l => (Load: l, Ours: Find(l, "mortise-managed"), Socket: Find(l, "socket"),
            Kestrel: Find(l, "kestrel"))).Where(r => r is { Ours: not null, Socket: not null }).ToList();
        if (rows.Count == 0)
            return;
        Line("## The managed engine").Line();
        Line("A plain async Socket echo that also waits without a buffer = 1; target at most 1.10, less than Kestrel.")
            .Line();
        Line("| load | mortise-managed | Kestrel |");
        Line("|---|---:|---:|");
        foreach (var (load, ours, socket, kestrel) in rows)
        {
            var measure = socket!.Ratio.Median;
            Line(string.Create(Culture, $"| {load} | {ours!.Ratio.Median / measure:F2} "
                + $"| {kestrel?.Ratio.Median / measure:F2} |"));
        }

        Line();
    }

    private void Everything(string load)
    {
        var cells = _cells.Where(c => c.Load == load).ToList();
        Line($"## {load}").Line();
        Line("| server | ratio to raw C epoll | server CPU µs/message | load CPU µs/message | shares of the CPU "
            + "| messages/s | user instructions/message | pairs | target |");
        Line("|---|---|---:|---:|---|---:|---:|---:|---|");
        foreach (var cell in cells)
        {
            Line($"| {cell.Server} | {cell.Ratio} | {cell.CpuMicroseconds:F2} | {cell.LoadMicroseconds:F2} "
                + $"| {cell.ServerShare:P0} + {cell.LoadShare:P0} | {cell.MessagesPerSecond:F0} "
                + $"| {cell.UserInstructions?.ToString("F0", Culture) ?? "not supported"} "
                + $"| {cell.Pairs} | {cell.Verdict} |");
        }

        Line();
    }

    private void Latency()
    {
        Line("## Latency at half of saturation").Line();
        Line($"""
            {_data.LatencyPace:F0} messages of 64 bytes a second over 64 connections, half of what the raw C server
            answers at most on this machine, sent on time whatever the server does; a latency counts from when the
            message was due. The server is on CPU {_data.Cpu}, the load on CPU {_data.LoadCpu}. Pairs as above.
            """).Line();
        Line("| server | p99 ratio to raw C epoll | p50 µs | p99 µs | p99.9 µs | pairs | target |");
        Line("|---|---|---:|---:|---:|---:|---|");
        foreach (var group in _data.Latencies.GroupBy(p => p.Server))
        {
            var ratio = Interval.Of(group.Select(p => p.P99Ratio));
            var stranger = group.Select(p => p.EngineSeen).FirstOrDefault(
                seen => seen is not null && seen != Contestant.Named(group.Key).Engine);
            var verdict = Contestant.Named(group.Key).Family != Family.Mortise ? ""
                : stranger is not null ? $"ran on {stranger}: not judged"
                : $"≤ {Target.LatencyMax:F2}: {Target.Judge(ratio, Target.LatencyMax)}";
            string Us(Func<LoadResult, double> ns) =>
                (Interval.MedianOf(group.Select(p => ns(p.Its))) / 1000).ToString("F1", Culture);
            Line($"| {group.Key} | {ratio} | {Us(r => r.P50Ns)} | {Us(r => r.P99Ns)} | {Us(r => r.P999Ns)} "
                + $"| {group.Count()} | {verdict} |");
        }

        Line();
    }

    private void Allocations()
    {
        Line("## Managed memory allocated per message").Line();
        Line("""
            GC.GetTotalAllocatedBytes of the server process before and after, load 64x64x1. A line becomes a string of
            63 characters (152 bytes): that is the message itself.
            """).Line();
        Line("| server | messages | bytes allocated | bytes/message |");
        Line("|---|---:|---:|---:|");
        foreach (var a in _data.Allocations)
            Line($"| {a.Server} | {a.Messages:N0} | {a.Bytes:N0} | {a.BytesPerMessage:F3} |");
        Line();
    }

    /// <summary>Whoever needs less CPU per message than the better of our two byte engines is named.</summary>
    private void NotAhead()
    {
        Line("## Where ours is not ahead").Line();
        var found = 0;
        foreach (var load in _loads)
        {
            var ours = new[] { Find(load, "mortise-uring"), Find(load, "mortise-epoll") }
                .OfType<Cell>().Where(c => c.Stranger is null).MinBy(c => c.Ratio.Median);
            if (ours is null)
                continue;
            foreach (var other in _cells.Where(c => c.Load == load && Contestant.Named(c.Server).Family
                != Family.Mortise && c.Ratio.Median <= ours.Ratio.Median))
            {
                found++;
                Line($"- {load}: {other.Server} needs {other.Ratio}, {ours.Server} {ours.Ratio}"
                    + (other.Ratio.Overlaps(ours.Ratio) ? "; the intervals overlap." : "."));
            }
        }

        Line(found > 0 ? "" : "In no load that was measured on our own engines.").Line();
    }

    private Cell? Find(string load, string server) => _cells.Find(c => c.Load == load && c.Server == server);

    private PeersPage Line(string text = "")
    {
        _text.Append(text).Append('\n');
        return this;
    }
}
