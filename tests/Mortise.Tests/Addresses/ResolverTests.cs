using System.Net;
using System.Net.Sockets;
using Xunit;
using static Mortise.Tests.Addresses.DnsReplyBytes;

namespace Mortise.Tests.Addresses;

public sealed class ResolverTests : IDisposable
{
    private readonly string hosts = Path.GetTempFileName();

    public void Dispose() => File.Delete(hosts);

    [Fact]
    public async Task A_name_gives_its_aliases_from_the_CNAME_chain_and_both_families()
    {
        await using var dns = new LoopbackDns();
        dns.Add("www.baidu.example", Cname, "www.a.shifen.example", 300)
            .Add("www.a.shifen.example", A, "61.135.169.121", 20)
            .Add("www.a.shifen.example", A, "61.135.169.125", 30).Add("www.a.shifen.example", Aaaa, "2001:db8::1", 40);
        var host = await dns.Resolver().ResolveAsync("WWW.baidu.example");
        Assert.Equal("www.a.shifen.example", host.Name);
        Assert.Equal(["www.baidu.example"], host.Aliases);
        Assert.Equal(AddressFamily.InterNetworkV6, host.AddressFamily);
        Assert.Equal(["2001:db8::1", "61.135.169.121", "61.135.169.125"], host.Addresses.Select(a => a.ToString()));
        Assert.Equal((TimeSpan.FromSeconds(20), $"dns {dns.Address}"), (host.TimeToLive, host.Source));
        Row.Observed("D03", $"{host.Name}: {string.Join(", ", host.Addresses)} ({host.AddressFamily}), {host.Source}");
        Row.Observed("D04", $"alias www.baidu.example of {host.Name}, from the CNAME chain over UDP");
        Row.Observed("Z36", "one lookup gives IPv6 and IPv4 addresses: " + string.Join(", ", host.Addresses));
    }

    [Fact]
    public async Task The_hosts_file_is_asked_first_and_its_other_names_are_aliases()
    {
        await using var dns = new LoopbackDns();
        dns.Add("db.example", A, "10.0.0.9");
        await File.WriteAllTextAsync(hosts, "# ours\n010.0.0.1 db.example\n10.0.0.1\tDB.example db dbm # main\n"
            + "bad line\nfd00::1 db.example\n10.0.0.2 other\n");
        var resolver = new Resolver(new() { HostsFile = hosts, DnsServer = dns.Address });
        var host = await resolver.ResolveAsync("db");
        Assert.Equal(("db.example", hosts), (host.Name, host.Source));
        Assert.Equal(["db", "dbm"], host.Aliases);
        Assert.Equal([IPAddress.Parse("10.0.0.1")], host.Addresses);
        var both = await resolver.ResolveAsync("db.example");
        Assert.Equal([IPAddress.Parse("fd00::1"), IPAddress.Parse("10.0.0.1")], both.Addresses);
        Assert.Equal("other", (await resolver.ReverseAsync(IPAddress.Parse("10.0.0.2"))).Name);
        Assert.Empty(dns.Asked);
        Row.Observed("D04", $"aliases {string.Join(", ", host.Aliases)} of {host.Name}, from the hosts file");
    }

    [Fact]
    public async Task An_unknown_name_is_an_error_that_names_the_host_and_the_server()
    {
        await using var dns = new LoopbackDns();
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync("no-such.example"));
        Assert.Equal("HOST_NOT_FOUND", error.Symbol);
        Assert.Contains("no-such.example", error.Message, StringComparison.Ordinal);
        Assert.Contains(dns.Address.ToString(), error.Message, StringComparison.Ordinal);
        var asked = dns.Asked.Count;
        var invalid = await Assert.ThrowsAsync<ResolveException>(
            () => dns.Resolver().ResolveAsync("no-such-host.invalid"));
        Assert.Equal("HOST_NOT_FOUND", invalid.Symbol);
        Assert.Equal(asked, dns.Asked.Count);
        Row.Observed("D05", invalid.Message);
        Row.Observed("Z32", "a failed lookup throws and has no address: " + error.Message);
    }

    [Fact]
    public async Task A_name_without_addresses_is_not_an_unknown_name()
    {
        await using var dns = new LoopbackDns();
        dns.Add("mail.example", 16, "");
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync("mail.example"));
        Assert.Equal("NO_DATA", error.Symbol);
    }

    [Theory]
    [InlineData("127.0.0.1", "127.0.0.1", "literal")]
    [InlineData("::ffff:10.0.0.1", "10.0.0.1", "literal")]
    [InlineData("FE80::1", "fe80::1", "literal")]
    [InlineData("localhost", "127.0.0.1", "loopback")]
    [InlineData("Api.Localhost.", "127.0.0.1", "loopback")]
    public async Task Literals_and_localhost_need_no_question(string name, string address, string source)
    {
        await using var dns = new LoopbackDns();
        var host = await dns.Resolver().ResolveAsync(name);
        Assert.Contains(IPAddress.Parse(address), host.Addresses);
        Assert.Equal(source, host.Source);
        Assert.Empty(dns.Asked);
    }

    [Theory]
    [InlineData("010.0.0.1")]
    [InlineData("127.1")]
    [InlineData("a b")]
    [InlineData("")]
    [InlineData("*")]
    public async Task What_can_be_no_name_is_refused_without_a_question(string name)
    {
        await using var dns = new LoopbackDns();
        await Assert.ThrowsAsync<InvalidSettingException>(() => dns.Resolver().ResolveAsync(name));
        Assert.Empty(dns.Asked);
    }

    [Fact]
    public async Task An_address_gives_its_name_from_the_PTR_record()
    {
        await using var dns = new LoopbackDns();
        dns.Add("4.3.2.10.in-addr.arpa", Ptr, "printer.example", 7)
            .Add("1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa", Ptr, "six.example");
        var resolver = dns.Resolver();
        var host = await resolver.ReverseAsync(IPAddress.Parse("10.2.3.4"));
        Assert.Equal(("printer.example", TimeSpan.FromSeconds(7)), (host.Name, host.TimeToLive));
        Assert.Equal("six.example", (await resolver.ReverseAsync(IPAddress.Parse("2001:db8::1"))).Name);
        Assert.Equal("localhost", (await resolver.ReverseAsync(IPAddress.Loopback)).Name);
        var error = await Assert.ThrowsAsync<ResolveException>(
            () => resolver.ReverseAsync(IPAddress.Parse("10.9.9.9")));
        Assert.Equal("HOST_NOT_FOUND", error.Symbol);
        Row.Observed("D08", $"10.2.3.4 is {host.Name}, 127.0.0.1 is localhost; {error.Message}");
    }

    [Fact]
    public async Task This_machine_knows_its_name_and_addresses()
    {
        var self = await new Resolver().SelfAsync();
        Assert.Equal(Dns.GetHostName(), self.Name);
        Assert.NotEmpty(self.Addresses);
        Assert.Contains(self.Addresses, IPAddress.IsLoopback);
        Row.Observed("D01", "host name " + self.Name);
        Row.Observed("D02", string.Join("; ", self.Addresses.Select((address, i) => $"IP addr {i + 1}: {address}")));
        Row.Observed("Z31", $"the whole host name, {self.Name.Length} characters: {self.Name}");
    }

    [Fact]
    public async Task A_service_name_gives_a_port_with_or_without_the_file()
    {
        var resolver = new Resolver(new() { ServicesFile = "/nonexistent/services" });
        Assert.Equal("80/tcp", (await resolver.ServicePortAsync("http")).ToString());
        Assert.Equal("53/udp", (await resolver.ServicePortAsync("domain", "udp")).ToString());
        Assert.Equal("NO_DATA", (await Assert.ThrowsAsync<ResolveException>(
            () => resolver.ServicePortAsync("nonesuch"))).Symbol);
        await File.WriteAllTextAsync(hosts, "game 9003/tcp spiel # ours\nhttp 8080/tcp\nbroken x/tcp\n");
        var own = new Resolver(new() { ServicesFile = hosts });
        Assert.Equal(9003, (await own.ServicePortAsync("spiel")).Port);
        Assert.Equal(8080, (await own.ServicePortAsync("http")).Port);
        Row.Observed("D07", "http is " + await new Resolver().ServicePortAsync("http"));
    }

    [Fact]
    public async Task A_found_name_is_kept_for_its_time_to_live()
    {
        await using var dns = new LoopbackDns();
        dns.Add("kept.example", A, "10.0.0.1", 30).Add("zero.example", A, "10.0.0.2", 0);
        var clock = new SteppedClock();
        var resolver = dns.Resolver(clock: clock);
        await resolver.ResolveAsync("kept.example");
        clock.Step(TimeSpan.FromSeconds(29));
        Assert.Equal(TimeSpan.FromSeconds(1), (await resolver.ResolveAsync("KEPT.example")).TimeToLive);
        Assert.Equal(2, dns.Asked.Count);
        clock.Step(TimeSpan.FromSeconds(1));
        await resolver.ResolveAsync("kept.example");
        Assert.Equal(4, dns.Asked.Count);
        await resolver.ResolveAsync("zero.example");
        await resolver.ResolveAsync("zero.example");
        Assert.Equal(8, dns.Asked.Count);
    }

    [Fact]
    public void Addresses_are_tried_family_by_turn_beginning_with_IPv6()
    {
        string[] given = ["10.0.0.1", "10.0.0.2", "::1", "10.0.0.3", "::2"];
        var ordered = AddressOrder.Interleave(given.Select(IPAddress.Parse)).Select(address => address.ToString());
        Assert.Equal(["::1", "10.0.0.1", "::2", "10.0.0.2", "10.0.0.3"], ordered);
        Assert.Empty(AddressOrder.Interleave([]));
    }

    /// <summary>Timers run in real time; only the date moves when told.</summary>
    private sealed class SteppedClock : TimeProvider
    {
        private DateTimeOffset now = DateTimeOffset.UnixEpoch;

        public void Step(TimeSpan time) => now += time;

        public override DateTimeOffset GetUtcNow() => now;
    }
}
