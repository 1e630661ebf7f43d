using System.Net;
using Xunit;

namespace Mortise.Tests.Cli.Lookup;

/// <summary>`mortise addr` and `mortise bytes`: what lies in memory, and what is no address.</summary>
public sealed class AddrTests
{
    [Fact]
    public async Task An_IPv4_endpoint_is_sixteen_labelled_bytes()
    {
        var run = await MortiseProcess.RunAsync(["addr", "127.0.0.1:10000", "--hex"]);
        Assert.Equal(0, run.ExitCode);
        Assert.Equal("""
            sockaddr_in, 16 bytes
               0  02 00                    sin_family     AF_INET (2), host order
               2  27 10                    sin_port       port 10000, network order
               4  7F 00 00 01              sin_addr       127.0.0.1, network order
               8  00 00 00 00 00 00 00 00  sin_zero       padding to the size of sockaddr
            """, run.Output);
        Row.Observed("C01", run.Output);
    }

    [Fact]
    public async Task An_IPv6_endpoint_keeps_its_interface_and_shows_its_flow()
    {
        Assert.SkipUnless(System.Net.Sockets.Socket.OSSupportsIPv6, "no IPv6 here");
        var text = await MortiseProcess.RunAsync(["addr", "[fe80::1%lo]:80"]);
        Assert.Equal("""
            tcp://[fe80::1%1]:80
              kind     a stream (SOCK_STREAM)
              family   AF_INET6
              address  fe80::1%1 (link-local: needs %interface)
              flowinfo 0
              scope id 1
              port     80
            """, text.Output);
        var hex = await MortiseProcess.RunAsync(["addr", "[fe80::1%lo]:80", "--hex"]);
        Assert.StartsWith("sockaddr_in6, 28 bytes", hex.Output);
        Assert.Contains("24  01 00 00 00              sin6_scope_id  interface number 1", hex.Output,
            StringComparison.Ordinal);
        Row.Observed("C02", text.Output);
    }

    [Theory]
    [InlineData("unix:/run/x.sock", "  path     /run/x.sock")]
    [InlineData("unixseq:@name", "  name     name (abstract)")]
    [InlineData("udp://10.1.2.3:5", "  address  10.1.2.3 (private (RFC 1918))")]
    [InlineData("localhost:80", "  host     localhost (a name: `mortise resolve` finds its addresses)")]
    [InlineData("mem:x", "  kind     a stream inside one process")]
    [InlineData("::ffff:10.0.0.1", "  given as ::ffff:10.0.0.1, IPv4 inside IPv6")]
    public async Task Every_kind_of_endpoint_is_taken_apart(string text, string line)
    {
        var run = await MortiseProcess.RunAsync(["addr", text]);
        Assert.Equal(0, run.ExitCode);
        Assert.Contains(line, run.Output.Split('\n'));
        if (text.StartsWith("unix:", StringComparison.Ordinal))
            Row.Observed("C03", run.Output);
        if (!text.StartsWith("::", StringComparison.Ordinal))
            Row.Observed("C04", $"one type reads {text}: {line.Trim()}");
    }

    [Theory]
    [InlineData("256.1.1.1")]
    [InlineData("1")]
    [InlineData("127.1")]
    [InlineData("0x7f.1")]
    [InlineData("010.0.0.1")]
    public async Task What_inet_pton_refuses_is_refused(string text)
    {
        var run = await MortiseProcess.RunAsync(["addr", "--check", text]);
        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Contains("not an IPv4 address", run.Error, StringComparison.Ordinal);
        Row.Observed(text == "256.1.1.1" ? "C05" : "C06", $"--check {text}: exit 2, {run.Error.Split('\n')[0]}");
    }

    [Fact]
    public async Task The_old_calls_forms_are_read_only_when_asked()
    {
        var strict = await MortiseProcess.RunAsync(["addr", "010.0.0.1"]);
        Assert.Equal(2, strict.ExitCode);
        Assert.Contains("inet_aton(3) read it as 8.0.0.1", strict.Error, StringComparison.Ordinal);
        var legacy = await MortiseProcess.RunAsync(["addr", "--legacy", "010.0.0.1"]);
        Assert.Equal((0, "010.0.0.1 was read as 8.0.0.1; inet_pton(3) and Mortise refuse it"),
            (legacy.ExitCode, legacy.Output.Split('\n')[0]));
        Row.Observed("C06", $"addr 010.0.0.1: {strict.Error.Split('\n')[0]}; --legacy: {legacy.Output}");
        var plain = await MortiseProcess.RunAsync(["addr", "132.241.5.10"]);
        Assert.EndsWith("uint32 0x84F1050A (2230387978), net bytes 84 F1 05 0A", plain.Output);
        Row.Observed("C08", plain.Output);
    }

    [Theory]
    [InlineData("tcp://*:80")]
    [InlineData("tcp://0.0.0.0:80")]
    [InlineData("tcp://[::]:80")]
    public async Task A_wildcard_lists_where_it_is_reached(string wildcard)
    {
        var run = await MortiseProcess.RunAsync(["addr", wildcard]);
        Assert.Equal(0, run.ExitCode);
        var listed = run.Output.Split('\n').SkipWhile(l => l != "reachable as").Skip(1).Select(l => l.Trim()).ToArray();
        var own = await new Resolver().ReachableAsync(wildcard);
        Assert.Equal(own.Select(o => o.ToString()), listed.Select(l => l.Split(' ')[0]));
        if (wildcard != "tcp://*:80")
            Assert.All(listed, l => Assert.Equal(wildcard.Contains('['), l.Contains('[')));
        Assert.Equal(own.Count(o => IPAddress.IsLoopback(o.Address!)),
            listed.Count(l => l.EndsWith("(this machine only)", StringComparison.Ordinal)));
        Row.Observed("C10", $"{wildcard} is reachable as {string.Join(", ", listed)}");
    }

    [Fact]
    public async Task A_number_is_shown_in_both_byte_orders()
    {
        var run = await MortiseProcess.RunAsync(["bytes", "9003", "0x12345678", "--u32"]);
        Assert.Contains("LE: 78 56 34 12  BE(network): 12 34 56 78", run.Output, StringComparison.Ordinal);
        var port = await MortiseProcess.RunAsync(["bytes", "9003", "--u16"]);
        Assert.Equal("host 0x232B  LE: 2B 23  BE(network): 23 2B  if htons is forgotten you bind 11043", port.Output);
        Row.Observed("B02", port.Output);
        Row.Observed("B01", "htonl of 0x12345678 on the command line: " + run.Output.Split('\n')[1]);
        var tooBig = await MortiseProcess.RunAsync(["bytes", "70000", "--u16"]);
        Assert.Equal(2, tooBig.ExitCode);
        var noPort = await MortiseProcess.RunAsync(["addr", "127.0.0.1:70000"]);
        Assert.Equal(2, noPort.ExitCode);
        Row.Observed("B03", $"addr 127.0.0.1:70000: exit 2, {noPort.Error.Split('\n')[0]}");
        var figure = await MortiseProcess.RunAsync(["explain", "endian"]);
        Assert.Matches(@"big-endian.* 12 34 56 78 [\s\S]*little-endian.* 78 56 34 12 ", figure.Output);
        Row.Observed("B05", figure.Output);
    }
}
