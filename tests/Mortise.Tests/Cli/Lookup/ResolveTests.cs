using System.Diagnostics;
using System.Text.Json;
using Mortise.Tests.Addresses;
using Xunit;
using static Mortise.Tests.Addresses.DnsReplyBytes;

namespace Mortise.Tests.Cli.Lookup;

/// <summary>`mortise resolve` against a private hosts file and a DNS server of its own on loopback.</summary>
public sealed class ResolveTests : IDisposable
{
    private readonly string _hosts = Path.GetTempFileName();

    public void Dispose() => File.Delete(_hosts);

    [Fact]
    public async Task This_machine_tells_its_name_and_numbers_its_addresses()
    {
        var run = await MortiseProcess.RunAsync(["resolve", "--self"]);
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        var lines = run.Output.Split('\n');
        Assert.Equal("Host name: " + Environment.MachineName, lines[0]);
        var addresses = lines.Where(l => l.StartsWith("IP addr ", StringComparison.Ordinal)).ToArray();
        Assert.Equal(Enumerable.Range(1, addresses.Length).Select(n => $"IP addr {n}"),
            addresses.Select(a => a.Split(':')[0]));
        Assert.Contains(addresses, a => a.EndsWith(": 127.0.0.1", StringComparison.Ordinal));
        Row.Observed("D01", lines[0]);
        Row.Observed("D02", string.Join("; ", addresses));
        Row.Observed("Z31", "resolve --self gives the whole host name: " + lines[0]);
    }

    [Fact]
    public async Task A_name_prints_aliases_family_and_numbered_addresses()
    {
        await using var dns = new LoopbackDns();
        dns.Add("www.example.test", Cname, "edge.example.test").Add("edge.example.test", A, "61.135.169.121")
            .Add("edge.example.test", A, "61.135.169.125").Add("edge.example.test", Aaaa, "2001:db8::1");
        var run = await ResolveAsync("www.example.test", "--server", $"{dns.Address}");
        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal("""
            Aliases 1: www.example.test → edge.example.test
            Address type: AF_INET6
            IP addr 1: 2001:db8::1
            Address type: AF_INET
            IP addr 2: 61.135.169.121
            IP addr 3: 61.135.169.125
            """, run.Output);
        Row.Observed("D03", run.Output);
        Row.Observed("Z36", "resolve: both families from one lookup: " + run.Output);

        var told = await ResolveAsync("www.example.test", "--server", $"{dns.Address}", "--json");
        var json = JsonDocument.Parse(told.Output).RootElement;
        Assert.Equal(("resolved", 1, "edge.example.test", "AF_INET6"), (json.GetProperty("ev").GetString(),
            json.GetProperty("v").GetInt32(), json.GetProperty("name").GetString(),
            json.GetProperty("family").GetString()));
        Assert.Equal(["www.example.test"], json.GetProperty("aliases").EnumerateArray().Select(a => a.GetString()));
        Assert.Equal(3, json.GetProperty("addresses").GetArrayLength());
        Row.Observed("D03", "--json: " + told.Output);
        Row.Observed("D04", $"--server {dns.Address}: alias www.example.test of edge.example.test, from a CNAME");
    }

    [Fact]
    public async Task A_hosts_file_of_your_own_is_read_first()
    {
        await File.WriteAllTextAsync(_hosts, "10.1.2.3 db.example.test db main\n");
        var run = await ResolveAsync("db", "-v");
        Assert.Equal(0, run.ExitCode);
        Assert.Equal("""
            Aliases 1: db → db.example.test
            Aliases 2: main → db.example.test
            Address type: AF_INET
            IP addr 1: 10.1.2.3
            """, run.Output);
        Assert.Contains(_hosts, run.Error, StringComparison.Ordinal);
        Row.Observed("D04", "--hosts FILE: " + run.Output);
        var missing = await MortiseProcess.RunAsync(["resolve", "x", "--hosts", "/nonexistent/hosts"]);
        Assert.Equal(2, missing.ExitCode);
    }

    [Fact]
    public async Task An_unknown_name_fails_in_words_and_in_the_exit_code()
    {
        var run = await MortiseProcess.RunAsync(["resolve", "no-such-host.invalid"]);
        Assert.Equal((3, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("Get IP address error!\nmortise: resolve no-such-host.invalid: ", run.Error);
        Row.Observed("D05", $"exit {run.ExitCode}: {run.Error}");
        Row.Observed("Z32", "no address is printed for a name that was not found; exit 3");
        Row.Observed("Z34", "success is exit 0 and silent on stderr, failure exit 3 with the name and the reason");
        var json = await MortiseProcess.RunAsync(["resolve", "no-such-host.invalid", "--json"]);
        var error = JsonDocument.Parse(json.Output).RootElement;
        Assert.Equal((3, "error", "HOST_NOT_FOUND", "no-such-host.invalid"), (json.ExitCode,
            error.GetProperty("ev").GetString(), error.GetProperty("symbol").GetString(),
            error.GetProperty("endpoint").GetString()));
    }

    [Theory]
    [InlineData("http", "80/tcp", 0)]
    [InlineData("domain/udp", "53/udp", 0)]
    [InlineData("nonesuch", "", 3)]
    public async Task A_service_has_a_port(string service, string port, int exitCode)
    {
        var run = await MortiseProcess.RunAsync(["resolve", "--service", service]);
        Assert.Equal((exitCode, port), (run.ExitCode, run.Output));
        if (exitCode == 0)
            Row.Observed("D07", $"--service {service}: {port}");
    }

    [Fact]
    public async Task An_address_leads_back_to_its_name()
    {
        await using var dns = new LoopbackDns();
        dns.Add("4.3.2.10.in-addr.arpa", Ptr, "printer.example.test");
        var named = await ResolveAsync("10.2.3.4", "--reverse", "--server", $"{dns.Address}");
        Assert.Equal((0, "Host name: printer.example.test"), (named.ExitCode, named.Output.Split('\n')[0]));
        var here = await ResolveAsync("127.0.0.1", "--reverse");
        Assert.Equal((0, "Host name: localhost"), (here.ExitCode, here.Output.Split('\n')[0]));
        var name = await ResolveAsync("localhost", "--reverse");
        Assert.Equal(2, name.ExitCode);
        Row.Observed("D08", $"127.0.0.1 --reverse: {here.Output}; 10.2.3.4: {named.Output}");
    }

    [Fact]
    public async Task A_silent_server_costs_no_more_than_the_timeout()
    {
        await using var dns = new LoopbackDns { Answer = _ => [] };
        var started = Stopwatch.GetTimestamp();
        var run = await ResolveAsync("slow.example.test", "--server", $"{dns.Address}", "--timeout", "400ms");
        var elapsed = Stopwatch.GetElapsedTime(started);
        Assert.Equal(5, run.ExitCode);
        Assert.Contains("slow.example.test", run.Error, StringComparison.Ordinal);
        Assert.InRange(elapsed, TimeSpan.FromMilliseconds(400), TimeSpan.FromSeconds(4.5));   // 5 s is the default
        Row.Observed("D08", $"--timeout 400ms against a silent server: exit 5 after {elapsed.TotalSeconds:0.0} s");
    }

    [Theory]
    [InlineData]
    [InlineData("a.test", "--self")]
    [InlineData("a.test", "--timeout", "0")]
    [InlineData("a.test", "--timeout", "never")]
    [InlineData("a.test", "--server", "name:53")]
    public async Task What_cannot_be_asked_is_a_usage_error(params string[] args)
    {
        var run = await MortiseProcess.RunAsync(["resolve", .. args]);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("mortise: ", run.Error);
    }

    /// <summary>With a hosts file of the test's own, so that nothing of this machine has a say.</summary>
    private Task<MortiseProcess.Finished> ResolveAsync(params string[] args) =>
        MortiseProcess.RunAsync(["resolve", .. args, "--hosts", _hosts]);
}
