using System.Text;
using Mortise.Peers.Comparing;
using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

/// <summary>The page of <c>bench scale</c>: everything on it is made of the data.</summary>
internal sealed class ScalePage(ScaleData data)
{
    private const double BareKiBMax = 1.0, ServedKiBMax = 1.5, EchoKiBMax = 0.5, IdleCpuPercentMax = 1;
    private const double KiBPerGiB = 1024 * 1024;
    private const int Million = 1_000_000;

    private readonly StringBuilder _text = new();

    public string ToMarkdown()
    {
        _text.Clear();
        Line($"# Many connections, {data.Machine.Date}").Line().Line(data.Machine.ToMarkdown()).Line();
        if (data.Idle.Count > 0)
            Idle();
        if (data.Many.Count > 0)
            Many();
        if (data.Beside.Count > 0)
            Beside();
        OnPaper();
        if (data.Failures.Count > 0)
        {
            Line("## Missing and failed").Line();
            foreach (var failure in data.Failures)
                Line($"- {failure}");
        }

        return _text.ToString();
    }

    private void Idle()
    {
        Line("## Idle connections in one process").Line();
        Line($"""
            Resident memory (VmRSS) of the server process more than before, in KiB per connection; before: 200
            connections have come, echoed and gone, and a full collection. "As it stands" is what an operator sees,
            garbage of accepting included; "held" is after a full collection: what the connections themselves keep;
            "objects" are the bytes of managed objects in it.
            "Bare" accepts by hand and reads; the others are whole servers, ours with every default limit, timeout and
            metric. CPU of the process over {data.IdleSeconds} s in which nothing happens.
            """).Line();
        Line("| server | connections | idle, as it stands | idle, held | objects, bytes "
            + "| more after one echo, as it stands | more after one echo, held | idle CPU | wrong echoes | target |");
        Line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---|");
        foreach (var m in data.Idle)
        {
            var (idle, held) = (m.PerConnection(m.Idle), m.PerConnection(m.IdleCollected));
            Line($"| {m.Server} | {m.Connections} | {idle:F2} | {held:F2} | {m.ObjectBytes:F0} "
                + $"| {m.PerConnection(m.Echoed) - idle:F2} | {m.PerConnection(m.EchoedCollected) - held:F2} "
                + $"| {m.IdleCpuPercent:F2} % | {m.Wrong} "
                + $"| {Judge(m)} |");
        }

        Line();
    }

    private static string Judge(IdleMemory m)
    {
        if (m.Engine is null)
            return "";
        var max = m.Server.EndsWith("-bare", StringComparison.Ordinal) ? BareKiBMax : ServedKiBMax;
        var (idle, held) = (m.PerConnection(m.Idle), m.PerConnection(m.IdleCollected));
        string Met(bool yes) => yes ? "reached" : "not reached";
        return $"≤ {max:F1} KiB: {Met(idle <= max)} as it stands, {Met(held <= max)} held; "
            + $"echo ≤ {EchoKiBMax}: {Met(m.PerConnection(m.Echoed) - idle <= EchoKiBMax)}; "
            + $"CPU < {IdleCpuPercentMax} %: {Met(m.IdleCpuPercent < IdleCpuPercentMax)}";
    }

    private void Many()
    {
        Line("## Many processes on one port").Line();
        Line("Every connection is asked for one echo of 64 bytes of its own. Kernel: SUnreclaim, both ends.").Line();
        Line("| server | processes | connections | right echoes | wrong or missing | descriptors of each process "
            + "| connected in | servers' memory KiB/connection | kernel KiB/connection |");
        Line("|---|---:|---:|---:|---:|---|---:|---:|---:|");
        foreach (var m in data.Many)
        {
            Line($"| {m.Server} | {m.Processes} | {m.Connections} | {m.Right} | {m.Wrong} "
                + $"| {string.Join(", ", m.PerProcess)} | {m.ConnectSeconds:F1} s | {m.RssKiB / m.Connections:F2} "
                + $"| {m.KernelKiB / m.Connections:F2} |");
        }

        Line();
    }

    private void Beside()
    {
        Line("## Echo beside idle connections").Line();
        Line("Server CPU per message of 64×64×1, two servers alive at once, windows alternating, one CPU.").Line();
        Line("| server | idle connections | µs with them | µs with none | ratio | pairs | target |");
        Line("|---|---:|---:|---:|---|---:|---|");
        foreach (var group in data.Beside.GroupBy(p => (p.Server, p.Idle)))
        {
            var ratio = Interval.Of(group.Select(p => p.Ratio));
            var withIdle = Interval.MedianOf(group.Select(p => p.NsWithIdle / 1000));
            var withNone = Interval.MedianOf(group.Select(p => p.NsWithNone / 1000));
            Line($"| {group.Key.Server} | {group.Key.Idle} | {withIdle:F2} | {withNone:F2} | {ratio} | {group.Count()} "
                + $"| ≤ {EchoBesideIdle.RatioMax:F2}: {Target.Judge(ratio, EchoBesideIdle.RatioMax)} |");
        }

        Line();
    }

    private void OnPaper()
    {
        if (data.Idle.Find(m => m.Engine is not null && !m.Server.EndsWith("-bare", StringComparison.Ordinal))
            is not { } served || data.Many.FirstOrDefault() is not { } many)
            return;
        var user = served.PerConnection(served.Idle) * Million / KiBPerGiB;
        var kernel = many.KernelKiB / many.Connections / 2 * Million / KiBPerGiB;
        var addresses = Math.Ceiling(Million / 28_232.0);
        Line("## A million connections: arithmetic, not a measurement").Line();
        Line($"""
            From the figures above, if they stay proportional: {user:F1} GiB in the server processes
            ({served.Server}, idle, as it stands) and {kernel:F1} GiB of the kernel for the server's ends (half of what
            both ends take here), {user + kernel:F1} GiB in all while nothing is in flight. One process would need
            RLIMIT_NOFILE and fs.nr_open above {Million:N0} (here {ProcessState.Limit("fs/nr_open"):N0}; fs.file-max is
            {ProcessState.Limit("fs/file-max"):N0}); with 18,000 each it is {Math.Ceiling(Million / 18_000.0)}
            processes. Clients need {addresses} addresses at 28,232 ports each. tcp_mem bounds what is in flight. No
            process here may hold more than about 20,000 descriptors, so this was not run.
            """).Line();
    }

    private ScalePage Line(string text = "")
    {
        _text.Append(text).Append('\n');
        return this;
    }
}
