using System.Text.Json;
using Xunit;

namespace Mortise.Tests.Cli.Lookup;

/// <summary>`mortise doctor`: the engine that would serve, and why; ContainedTests has the filters.</summary>
public sealed class DoctorTests
{
    private static readonly string[] Engines = ["io_uring", "epoll", "managed"];

    [Fact]
    public async Task The_doctor_names_the_engine_that_serve_would_take_and_judges_each()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "elsewhere there is one engine");
        string about;
        using (var listener = SocketServer.Listen("tcp://127.0.0.1:0"))
            about = listener.Engine;
        var findings = await FindingsAsync("mortise doctor --json");
        var chosen = findings["engine"];
        Assert.Equal("ok", chosen.Verdict);
        Assert.StartsWith(chosen.Value, about, StringComparison.Ordinal);
        Assert.EndsWith(about[chosen.Value.Length..], chosen.Meaning, StringComparison.Ordinal);
        foreach (var engine in Engines)
            Assert.Matches("^(serves|refused)$", findings[engine].Value);
        string[] limits = ["open files", "accept queue", "SYN queue", "client ports", "TIME-WAIT", "locked memory"];
        foreach (var limit in limits)
            Assert.Contains(limit, findings.Keys);
    }

    [Fact]
    public async Task The_environment_is_the_reason_where_it_decides_and_a_slip_in_it_is_a_finding()
    {
        var forced = await FindingsAsync("MORTISE_ENGINE=managed mortise doctor --json");
        Assert.Equal(("managed", "ok"), (forced["engine"].Value, forced["engine"].Verdict));
        Assert.EndsWith("forced by MORTISE_ENGINE", forced["engine"].Meaning, StringComparison.Ordinal);
        var wrong = await FindingsAsync("MORTISE_ENGINE=kqueue mortise doctor --json");
        Assert.Equal(("none", "warn"), (wrong["engine"].Value, wrong["engine"].Verdict));
        Assert.Contains("MORTISE_ENGINE=kqueue", wrong["engine"].Meaning, StringComparison.Ordinal);
        Assert.Contains("io_uring, epoll, managed", wrong["engine"].Change, StringComparison.Ordinal);
        Assert.Equal("serves", wrong["managed"].Value);
    }

    private static async Task<Dictionary<string, (string Value, string Verdict, string Meaning, string? Change)>>
        FindingsAsync(string script)
    {
        var run = await MortiseProcess.RunShellAsync(script);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        return run.Output.Split('\n').Select(l => JsonDocument.Parse(l).RootElement)
            .Where(e => e.GetProperty("ev").GetString() == "finding")
            .ToDictionary(e => e.GetProperty("name").GetString()!, e => (e.GetProperty("value").GetString()!,
                e.GetProperty("verdict").GetString()!, e.GetProperty("meaning").GetString()!,
                e.TryGetProperty("change", out var change) ? change.GetString() : null));
    }
}
