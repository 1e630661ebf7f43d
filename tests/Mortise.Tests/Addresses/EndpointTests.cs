using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Addresses;

public sealed class EndpointTests
{
    [Theory]
    [InlineData("tcp://127.0.0.1:9003", EndpointKind.Tcp, "127.0.0.1", 9003, "tcp://127.0.0.1:9003")]
    [InlineData("TCP://My-Host.Example:80", EndpointKind.Tcp, "my-host.example", 80, "tcp://my-host.example:80")]
    [InlineData("tls://[::1]:443", EndpointKind.Tls, "::1", 443, "tls://[::1]:443")]
    [InlineData("udp://[2001:DB8:0:0:0:0:0:1]:53", EndpointKind.Udp, "2001:db8::1", 53, "udp://[2001:db8::1]:53")]
    [InlineData("tcp://[::ffff:10.0.0.1]:80", EndpointKind.Tcp, "10.0.0.1", 80, "tcp://10.0.0.1:80")]
    [InlineData(":9003", EndpointKind.Tcp, "127.0.0.1", 9003, "tcp://127.0.0.1:9003")]
    [InlineData("*:9003", EndpointKind.Tcp, "*", 9003, "tcp://*:9003")]
    [InlineData("udp://*:0", EndpointKind.Udp, "*", 0, "udp://*:0")]
    [InlineData("localhost:65535", EndpointKind.Tcp, "localhost", 65535, "tcp://localhost:65535")]
    [InlineData("db_1.example.:1", EndpointKind.Tcp, "db_1.example.", 1, "tcp://db_1.example.:1")]
    [InlineData("unix:./x.sock", EndpointKind.Unix, "./x.sock", 0, "unix:./x.sock")]
    [InlineData("unix:///run/x", EndpointKind.Unix, "/run/x", 0, "unix:/run/x")]
    [InlineData("unix:@name", EndpointKind.Unix, "@name", 0, "unix:@name")]
    [InlineData("unixgram:/run/y", EndpointKind.UnixDatagram, "/run/y", 0, "unixgram:/run/y")]
    [InlineData("unixseq:@q", EndpointKind.UnixSeqPacket, "@q", 0, "unixseq:@q")]
    [InlineData("mem:lobby", EndpointKind.Memory, "lobby", 0, "mem:lobby")]
    public void An_endpoint_is_read_and_written_canonically(string text, EndpointKind kind, string host, int port,
        string canonical)
    {
        var read = Endpoint.Parse(text);
        Assert.Equal((kind, host, port), (read.Kind, read.Host, read.Port));
        Assert.Equal(canonical, read.ToString());
        Assert.Equal(read, Endpoint.Parse(canonical));
    }

    [Theory]
    [InlineData("9003", "did you mean :9003?")]
    [InlineData("localhost", "did you mean localhost:9003?")]
    [InlineData("tcp://x", "did you mean tcp://x:9003?")]
    [InlineData("tcp:/x:1", "did you mean tcp://x:1?")]
    [InlineData("tcp//x:1", "did you mean tcp://x:1?")]
    [InlineData("tcp:9003", "did you mean :9003?")]
    [InlineData("tcp://:80", "tcp://*:80")]
    [InlineData("udp://:80", "udp://127.0.0.1:80")]
    [InlineData("tcp://x:80/", "did you mean tcp://x:80?")]
    [InlineData("tcp://x:80?a=b", "did you mean tcp://x:80?")]
    [InlineData("tcp://me:pw@x:80", "did you mean tcp://x:80")]
    [InlineData("http://host/a", "tcp://host:80")]
    [InlineData("https://[::1]", "tls://[::1]:443")]
    [InlineData("http://host:81", "tcp://host:81")]
    [InlineData("ftp://x:1", "use tcp://")]
    [InlineData("::1:80", "brackets")]
    [InlineData("tcp://::1:80", "tcp://[::1]:80")]
    [InlineData("2001:db8:1:2:3:4:5:6", "[2001:db8:1:2:3:4:5:6]:9003")]
    [InlineData("::1", "[::1]:9003")]
    [InlineData("tcp://[::1]", "[::1]:9003")]
    [InlineData("tcp://[::1:80", "not closed")]
    [InlineData("tcp://[::1%nosuchif0]:80", "no interface 'nosuchif0'")]
    [InlineData("tcp://[::1::]:80", "not an IPv6 address")]
    [InlineData("/run/a.sock", "did you mean unix:/run/a.sock?")]
    [InlineData("./a.sock", "did you mean unix:./a.sock?")]
    [InlineData("unix:", "path is missing")]
    [InlineData("unix:@", "name is missing")]
    [InlineData("unix:/a\0b", "NUL")]
    [InlineData("unix-dgram:./y", "did you mean unixgram:./y?")]
    [InlineData("mem:", "mem:name")]
    [InlineData("", "the address is empty")]
    [InlineData(" :80", "not a host name")]
    [InlineData("tcp://-x:80", "not a host name")]
    [InlineData("tcp://a..b:80", "a label has 1 to 63")]
    [InlineData("tcp://例子:80", "xn--")]
    public void A_half_typed_address_is_refused_with_the_mend(string text, string mend)
    {
        var refused = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse(text));
        Assert.Contains(mend, refused.Message, StringComparison.Ordinal);
        Assert.Equal(("address", "EINVAL"), (refused.Operation, refused.Symbol));
        Assert.False(Endpoint.TryParse(text, out var none, out var error));
        Assert.Null(none);
        Assert.Equal(refused.Message, error);
    }

    [Theory]
    [InlineData("65536", "outside 0 to 65535")]
    [InlineData("99999999999999999999", "outside 0 to 65535")]
    [InlineData("-1", "not a port")]
    [InlineData("+80", "not a port")]
    [InlineData("080", "not a port")]
    [InlineData("0x50", "not a port")]
    [InlineData("8 0", "not a port")]
    [InlineData("٣", "not a port")]
    [InlineData("", "the port is missing")]
    public void A_port_out_of_range_or_not_in_digits_is_refused(string port, string reason)
    {
        var refused = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse("tcp://127.0.0.1:" + port));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Assert.Throws<InvalidSettingException>(() => Endpoint.Parse(":80").WithPort(-1));
        Row.Observed("B03", $"port '{port}' refused: {refused.Reason}");
    }

    [Theory]
    [InlineData("010.0.0.1", "leading zero")]
    [InlineData("127.1", "not an IPv4 address")]
    [InlineData("1", "not an IPv4 address")]
    [InlineData("0x7f.1", "not an IPv4 address")]
    [InlineData("0x7f000001", "not an IPv4 address")]
    [InlineData("256.1.1.1", "not an IPv4 address")]
    [InlineData("1.2.3.4.5", "not an IPv4 address")]
    [InlineData("1.2.3.4.", "not an IPv4 address")]
    [InlineData("2130706433", "not an IPv4 address")]
    public void Only_a_strict_dotted_quad_is_an_address(string host, string reason)
    {
        var refused = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse($"tcp://{host}:80"));
        Assert.Contains(reason, refused.Message, StringComparison.Ordinal);
        Row.Observed("C06", $"{host} refused: {refused.Reason}");
    }

    [Fact]
    public void A_path_longer_than_sun_path_is_refused_before_any_system_call()
    {
        var longest = "/" + new string('x', 106);
        var socket = Assert.IsType<UnixDomainSocketEndPoint>(Endpoint.Parse("unix:" + longest).ToSocketEndPoint());
        Assert.Equal(longest, socket.ToString());
        Assert.NotNull(Endpoint.Parse("unix:@" + new string('n', 107)).ToSocketEndPoint());
        var refused = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse("unix:/" + new string('x', 108)));
        Assert.Equal("path is 109 bytes, limit 108 (107+NUL)", refused.Reason);
        var wide = Assert.Throws<InvalidSettingException>(() => Endpoint.Parse("unix:/" + new string('路', 36)));
        Assert.StartsWith("path is 109 bytes", wide.Reason, StringComparison.Ordinal);
        Assert.False(Endpoint.TryParse("unix:" + longest + "x", out _, out _));
        Assert.False(Endpoint.TryParse("unixgram:@" + new string('n', 108), out _, out _));
        Row.Observed("A05", refused.Reason);
        Row.Observed("C03", "107 bytes of path are accepted, 109 refused: " + refused.Reason);
    }

    [Fact]
    public void An_interface_after_an_IPv6_address_is_kept_as_its_number()
    {
        var named = Endpoint.Parse("[fe80::1%lo]:80");
        Assert.Equal("tcp://[fe80::1%1]:80", named.ToString());
        Assert.Equal(1, named.Address!.ScopeId);
        Assert.Equal(named, Endpoint.Parse(named.ToString()));
        Assert.Equal(named, Endpoint.From(EndpointKind.Tcp, named.ToSocketEndPoint()));
        Row.Observed("C02", $"[fe80::1%lo]:80 reads as {named}");
    }

    [Fact]
    public void The_three_wildcards_are_known_and_only_the_star_takes_both_families()
    {
        string[] wildcards = ["tcp://*:80", "tcp://0.0.0.0:80", "tcp://[::]:80"];
        Assert.All(wildcards, text => Assert.True(Endpoint.Parse(text).IsWildcard));
        Assert.Equal([true, false, false], wildcards.Select(text => Endpoint.Parse(text).IsDualStack));
        Assert.Equal(new IPEndPoint(IPAddress.IPv6Any, 80), Endpoint.Parse(wildcards[0]).ToSocketEndPoint());
        Assert.Equal(new IPEndPoint(IPAddress.Any, 80), Endpoint.Parse(wildcards[1]).ToSocketEndPoint());
        Assert.False(Endpoint.Parse(":80").IsWildcard);
        Assert.False(Endpoint.Parse("unix:::").IsWildcard);
    }

    [Fact]
    public void What_a_socket_reports_becomes_an_endpoint()
    {
        var mapped = new IPEndPoint(IPAddress.Parse("::ffff:127.0.0.1"), 48038);
        Assert.Equal("127.0.0.1:48038", Endpoint.From(EndpointKind.Tcp, mapped).Authority);
        Assert.Equal("unix:", Endpoint.From(EndpointKind.Unix, null).ToString());
        Assert.Null(Endpoint.From(EndpointKind.Unix, null).ToSocketEndPoint());
        var hidden = Endpoint.From(EndpointKind.UnixSeqPacket, new UnixDomainSocketEndPoint("\0abc"));
        Assert.Equal(Endpoint.Parse("unixseq:@abc"), hidden);
        Assert.True(hidden is { IsUnix: true, IsAbstract: true, IsStream: false });
        Assert.Equal("tcp://host:7", Endpoint.From(EndpointKind.Tcp, new DnsEndPoint("HOST", 7)).ToString());
    }

    [Fact]
    public void What_a_socket_reports_equals_what_is_written_and_weighs_32_bytes_until_its_text_is_asked_for()
    {
        string[] addresses = ["127.0.0.1", "0.0.0.0", "255.255.255.255", "10.0.0.8", "::1", "2001:db8::1"];
        foreach (var address in addresses.Select(IPAddress.Parse))
        {
            var reported = Endpoint.From(EndpointKind.Tcp, new IPEndPoint(address, 80));
            var written = Endpoint.Parse($"tcp://{new IPEndPoint(address, 80)}");
            Assert.Equal(written.GetHashCode(), reported.GetHashCode());
            Assert.Equal(written, reported);
            Assert.Equal(address, reported.Address);
            Assert.Equal(written.ToString(), reported.ToString());
            Assert.NotEqual(written, Endpoint.From(EndpointKind.Udp, new IPEndPoint(address, 80)));
            Assert.NotEqual(written, Endpoint.From(EndpointKind.Tcp, new IPEndPoint(address, 81)));
        }

        var end = new IPEndPoint(IPAddress.Loopback, 80);
        var kept = new Endpoint[1000];
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < kept.Length; i++)
            kept[i] = Endpoint.From(EndpointKind.Tcp, end);
        Assert.Equal(32, (GC.GetAllocatedBytesForCurrentThread() - before) / kept.Length);
    }

    [Fact]
    public void An_abstract_name_reaches_the_kernel_as_a_NUL_and_the_name()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux's own");
        var name = Endpoint.Parse($"unix:@mortise-{Guid.NewGuid():N}");
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(name.ToSocketEndPoint()!);
        Assert.Equal(name, Endpoint.From(EndpointKind.Unix, listener.LocalEndPoint));
        Assert.False(File.Exists(name.Host));
    }

    [Fact]
    public void An_endpoint_is_changed_by_making_another()
    {
        Endpoint zero = "tls://*:0";
        Assert.Equal("tls://*:9003", zero.WithPort(9003).ToString());
        Assert.Equal("tls://[::1]:0", zero.WithHost("::1").ToString());
        Assert.Equal("tls://h.example:0", zero.WithHost("H.example").ToString());
        Assert.Equal("tls://127.0.0.1:0", zero.WithAddress(IPAddress.Loopback).ToString());
        Assert.Equal("unix:/b", Endpoint.Parse("unix:/a").WithHost("/b").ToString());
        Assert.Throws<InvalidSettingException>(() => Endpoint.Parse("unix:/a").WithPort(1));
        Assert.Throws<InvalidSettingException>(() => zero.WithHost("127.1"));
        Assert.Throws<InvalidSettingException>(() => zero.WithHost("a:80/x"));
        Assert.Equal("tls://*:0", zero.ToString());
    }

    [Fact]
    public void Names_differ_in_case_only_for_the_eye_but_paths_for_the_file_system()
    {
        Assert.Equal(Endpoint.Parse("tcp://HOST:1"), Endpoint.Parse("host:1"));
        Assert.Equal(Endpoint.Parse("tcp://HOST:1").GetHashCode(), Endpoint.Parse("host:1").GetHashCode());
        Assert.NotEqual(Endpoint.Parse("unix:/A"), Endpoint.Parse("unix:/a"));
        Assert.NotEqual(Endpoint.Parse("tcp://h:1"), Endpoint.Parse("udp://h:1"));
    }
}
