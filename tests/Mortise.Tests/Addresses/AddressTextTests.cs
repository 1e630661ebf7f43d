using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Mortise.Tests.Addresses;

public sealed class AddressTextTests
{
    [Theory]
    [InlineData(AddressFamily.InterNetwork, "132.241.5.10", ParseOutcome.Ok, "84F1050A")]
    [InlineData(AddressFamily.InterNetwork, "255.255.255.255", ParseOutcome.Ok, "FFFFFFFF")]
    [InlineData(AddressFamily.InterNetwork, "256.1.1.1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "127.1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "0x7f.1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "010.0.0.1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "1.2.3.4 ", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "+1.2.3.4", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetwork, "::1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "::", ParseOutcome.Ok, "00000000000000000000000000000000")]
    [InlineData(AddressFamily.InterNetworkV6, "1::", ParseOutcome.Ok, "00010000000000000000000000000000")]
    [InlineData(AddressFamily.InterNetworkV6, "::ffff:1.2.3.4", ParseOutcome.Ok, "00000000000000000000FFFF01020304")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7::", ParseOutcome.Ok, "00010002000300040005000600070000")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7:8", ParseOutcome.Ok, "00010002000300040005000600070008")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7:8:9", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7::8", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "1:2:3:4:5:6:7:8::", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "1::2::3", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, ":::", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "1:", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, ":1", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "12345::", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "::1%lo", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "[::1]", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "::1.2.3", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.InterNetworkV6, "", ParseOutcome.BadText, "")]
    [InlineData(AddressFamily.Unix, "127.0.0.1", ParseOutcome.BadFamily, "")]
    public void An_address_is_read_as_inet_pton_reads_it(AddressFamily family, string text, ParseOutcome outcome,
        string hex)
    {
        var bytes = new byte[16];
        Assert.Equal(outcome, AddressText.TryParse(family, text, bytes));
        Assert.Equal(hex, Convert.ToHexString(bytes.AsSpan(0, hex.Length / 2)));
        if (outcome != ParseOutcome.Ok)
            Assert.All(bytes, b => Assert.Equal(0, b));
        Row.Observed("C05", $"'{text}' as {family}: {outcome} ({(int)outcome})");
    }

    [Theory]
    [InlineData("::", "::")]
    [InlineData("0:0:0:0:0:0:0:1", "::1")]
    [InlineData("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1")]
    [InlineData("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1")]
    [InlineData("1:0:0:0:0:0:0:0", "1::")]
    [InlineData("::FFFF:255.255.255.255", "::ffff:255.255.255.255")]
    [InlineData("fe80::5efe:1.2.3.4", "fe80::5efe:102:304")]
    [InlineData("255.255.255.255", "255.255.255.255")]
    public void An_address_is_written_as_RFC_5952_has_it_and_only_into_room_enough(string given, string canonical)
    {
        var family = given.Contains(':') ? AddressFamily.InterNetworkV6 : AddressFamily.InterNetwork;
        var bytes = new byte[family == AddressFamily.InterNetwork ? 4 : 16];
        Assert.Equal(ParseOutcome.Ok, AddressText.TryParse(family, given, bytes));
        var text = new char[canonical.Length];
        Assert.True(AddressText.TryFormat(bytes, text, out var written));
        Assert.Equal(canonical, new string(text, 0, written));
        Assert.False(AddressText.TryFormat(bytes, text.AsSpan(1), out written));
        Assert.Equal(0, written);
        Row.Observed("C07", $"{canonical}: {text.Length} characters suffice, {text.Length - 1} give false; "
            + $"{AddressText.InetAddrStrLen} and {AddressText.Inet6AddrStrLen} always do");
    }

    [Fact]
    public void The_constants_hold_the_longest_address_and_its_NUL()
    {
        Assert.Equal(AddressText.InetAddrStrLen, "255.255.255.255".Length + 1);
        Assert.Equal(AddressText.Inet6AddrStrLen, "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".Length + 1);
    }

    [Fact]
    public void Random_addresses_agree_with_the_runtime()
    {
        var random = new Random(5952);
        var bytes = new byte[16];
        var text = new char[AddressText.Inet6AddrStrLen];
        for (var round = 0; round < 20_000; round++)
        {
            random.NextBytes(bytes);
            for (var zeros = random.Next(14); zeros > 0; zeros--)
                bytes[random.Next(16)] = 0;
            Assert.True(AddressText.TryFormat(bytes, text, out var written));
            var made = text.AsSpan(0, written);
            Assert.Equal(bytes, IPAddress.Parse(made).GetAddressBytes());
            var back = new byte[16];
            Assert.Equal(ParseOutcome.Ok, AddressText.TryParse(AddressFamily.InterNetworkV6, made, back));
            Assert.Equal(bytes, back);
        }
    }

    [Fact]
    public void The_legacy_number_of_an_address_is_shown()
    {
        var shown = AddressText.DescribeLegacy(IPAddress.Parse("132.241.5.10"));
        Assert.Equal("uint32 0x84F1050A (2230387978), net bytes 84 F1 05 0A", shown);
        Assert.Throws<ArgumentException>(() => AddressText.ToUInt32(IPAddress.IPv6Loopback));
        Row.Observed("C08", shown);
    }

    [Fact]
    public void A_sockaddr_is_labelled_byte_by_byte()
    {
        var v4 = SockaddrView.Of("127.0.0.1:10000");
        Assert.Equal(("sockaddr_in", 16), (v4.Structure, v4.LengthBytes));
        Assert.Equal(["sin_family", "sin_port", "sin_addr", "sin_zero"], v4.Fields.Select(field => field.Name));
        Assert.Equal("2710", Convert.ToHexString(v4.Fields[1].Bytes.Span));
        Assert.Equal("7F000001", Convert.ToHexString(v4.Fields[2].Bytes.Span));
        Row.Observed("C01", Dump(v4));
        var v6 = SockaddrView.Of("[fe80::1%lo]:80");
        Assert.Equal(("sockaddr_in6", 28), (v6.Structure, v6.LengthBytes));
        Assert.Equal([0, 2, 4, 8, 24], v6.Fields.Select(field => field.OffsetBytes));
        Assert.Equal(1u, BitConverter.ToUInt32(v6.Fields[4].Bytes.Span));
        Row.Observed("C02", Dump(v6));
        var path = SockaddrView.Of("unix:/run/x");
        Assert.Equal("2F72756E2F7800", Convert.ToHexString(path.Fields[1].Bytes.Span));
        Assert.Equal("0078", Convert.ToHexString(SockaddrView.Of("unix:@x").Fields[1].Bytes.Span));
        Assert.Throws<InvalidSettingException>(() => SockaddrView.Of("name:80"));
        Assert.Throws<InvalidSettingException>(() => SockaddrView.Of("mem:x"));
    }

    [Fact]
    public void The_runtime_lays_the_same_sockaddr_out()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the layout is Linux's");
        string[] endpoints = ["127.0.0.1:10000", "[2001:db8::1]:80", "[fe80::1%lo]:80", "*:9003"];
        foreach (var endpoint in endpoints.Select(Endpoint.Parse))
        {
            var view = SockaddrView.Of(endpoint);
            var theirs = endpoint.ToSocketEndPoint()!.Serialize();
            Assert.Equal(theirs.Buffer[..theirs.Size].ToArray(),
                view.Fields.SelectMany(field => field.Bytes.ToArray()));
        }
    }

    private static string Dump(SockaddrView view) => $"{view.Structure}, {view.LengthBytes} bytes: "
        + string.Join("; ", view.Fields.Select(f => $"{f.Name} {Convert.ToHexString(f.Bytes.Span)} {f.Meaning}"));
}
