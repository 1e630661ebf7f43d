using System.Net;
using System.Net.Sockets;
using Mortise.Addresses;
using Xunit;
using static Mortise.Tests.Addresses.DnsReplyBytes;

namespace Mortise.Tests.Addresses;

public sealed class ResolverTests : IDisposable
{
    private readonly string _hosts = Path.GetTempFileName();

    public void Dispose() => File.Delete(_hosts);

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
        await File.WriteAllTextAsync(_hosts, "# ours\n010.0.0.1 db.example\n10.0.0.1\tDB.example db dbm # main\n"
            + "bad line\nfd00::1 db.example\n10.0.0.2 other\n");
        var resolver = new Resolver(new() { HostsFile = _hosts, DnsServer = dns.Address });
        var host = await resolver.ResolveAsync("db");
        Assert.Equal(("db.example", _hosts), (host.Name, host.Source));
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

    [Theory]
    [InlineData("tcp://*:0")]
    [InlineData("tcp://0.0.0.0:0")]
    [InlineData("tcp://[::]:0")]
    public async Task A_wildcard_is_reached_at_each_address_that_is_listed(string text)
    {
        Assert.SkipUnless(Socket.OSSupportsIPv6, "no IPv6 here");
        var wildcard = Endpoint.Parse(text);
        using var listener = new Socket(wildcard.Address!.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (listener.AddressFamily == AddressFamily.InterNetworkV6)
            listener.DualMode = wildcard.IsDualStack;
        listener.Bind(wildcard.ToSocketEndPoint()!);
        listener.Listen();
        var listed = await new Resolver().ReachableAsync(wildcard.WithPort(((IPEndPoint)listener.LocalEndPoint!).Port));
        Assert.NotEmpty(listed);
        foreach (var endpoint in listed)
        {
            Assert.False(endpoint.IsWildcard);
            using var client = new Socket(endpoint.Address!.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(endpoint.ToSocketEndPoint()!).WaitAsync(TimeSpan.FromSeconds(10));
            using var accepted = await listener.AcceptAsync();
            Assert.Equal(Endpoint.From(EndpointKind.Tcp, client.LocalEndPoint),
                Endpoint.From(EndpointKind.Tcp, accepted.RemoteEndPoint));
        }
        Row.Observed("C10", $"{text} is reached at {string.Join(", ", listed.Select(endpoint => endpoint.Authority))}");
    }

    [Fact]
    public async Task A_service_name_gives_a_port_with_or_without_the_file()
    {
        var resolver = new Resolver(new() { ServicesFile = "/nonexistent/services" });
        Assert.Equal("80/tcp", (await resolver.ServicePortAsync("http")).ToString());
        Assert.Equal("53/udp", (await resolver.ServicePortAsync("domain", "udp")).ToString());
        Assert.Equal("NO_DATA", (await Assert.ThrowsAsync<ResolveException>(
            () => resolver.ServicePortAsync("nonesuch"))).Symbol);
        await File.WriteAllTextAsync(_hosts, "game 9003/tcp spiel # ours\nhttp 8080/tcp\nbroken x/tcp\n");
        var own = new Resolver(new() { ServicesFile = _hosts });
        Assert.Equal(9003, (await own.ServicePortAsync("spiel")).Port);
        Assert.Equal(8080, (await own.ServicePortAsync("http")).Port);
        Row.Observed("D07", "http is " + await new Resolver().ServicePortAsync("http"));
    }

    [Fact]
    public async Task A_short_name_is_tried_under_the_search_domains_first_and_the_next_server_steps_in()
    {
        await using var failing = new LoopbackDns { Answer = ask => [new DnsReplyBytes(ask, code: 2).ToArray()] };
        await using var dns = new LoopbackDns();
        dns.Add("db.prod.example", A, "10.0.0.1").Add("www.example", A, "10.0.0.2");
        var resolver = Configured($"# ours\nnameserver [{failing.Address.Address}]:{failing.Address.Port}\n"
            + $"nameserver nonsense\nnameserver [{dns.Address.Address}]:{dns.Address.Port}\n"
            + "search test.example prod.example.\noptions timeout:1 ndots:1\n");
        Assert.Equal("db.prod.example", (await resolver.ResolveAsync("db")).Name);
        string[] asked = ["db.test.example", "db.prod.example"];
        Assert.Equal(asked, dns.Asked.Select(ask => ask.Name).Distinct());
        dns.Asked.Clear();
        Assert.Equal("www.example", (await resolver.ResolveAsync("www.example")).Name);
        Assert.All(dns.Asked, ask => Assert.Equal("www.example", ask.Name));
        dns.Asked.Clear();
        var error = await Assert.ThrowsAsync<ResolveException>(() => resolver.ResolveAsync("db."));
        Assert.Equal(("HOST_NOT_FOUND", "db"), (error.Symbol, error.Endpoint));
        Assert.All(dns.Asked, ask => Assert.Equal("db", ask.Name));
    }

    [Fact]
    public async Task Without_a_server_the_system_is_asked()
    {
        var resolver = Configured("# no server\nnameserver [127.0.0.1]:99999\n");
        try
        {
            var host = await resolver.ResolveAsync(Dns.GetHostName());
            Assert.Equal("system", host.Source);
            Assert.NotEmpty(host.Addresses);
        }
        catch (ResolveException unknown)
        {
            // Not every machine knows its own name; but then it is the system that says so.
            Assert.Contains("the system", unknown.Reason, StringComparison.Ordinal);
        }
    }

    private Resolver Configured(string resolvConf)
    {
        File.WriteAllText(_hosts, resolvConf);
        return new(new() { HostsFile = "/nonexistent/hosts", ResolvConfFile = _hosts });
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
        private DateTimeOffset _now = DateTimeOffset.UnixEpoch;

        public void Step(TimeSpan time) => _now += time;

        public override DateTimeOffset GetUtcNow() => _now;
    }
}
