using System.Net;
using Xunit;

namespace Mortise.Tests.Addresses;

/// <summary>Ranges of addresses: what is in them, and what a text that is none was meant to be.</summary>
public sealed class CidrTests
{
    [Theory]
    [InlineData("10.0.0.0/8", "10.255.255.255", "11.0.0.0")]
    [InlineData("192.0.2.7", "192.0.2.7", "192.0.2.8")]
    [InlineData("192.0.2.6/31", "192.0.2.7", "192.0.2.5")]
    [InlineData("0.0.0.0/0", "203.0.113.9", "::1")]
    [InlineData("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1")]
    [InlineData("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1")]
    [InlineData("::1", "::1", "::2")]
    [InlineData("::/0", "2001:db8::1", "127.0.0.1")]
    [InlineData("127.0.0.0/8", "::ffff:127.0.0.9", "::1")]
    [InlineData("::ffff:10.0.0.0/104", "10.1.2.3", "11.1.2.3")]
    [InlineData("fe80::/10", "fe80::1%1", "fec0::1")]
    public void A_range_holds_its_addresses_and_no_others(string range, string inside, string outside)
    {
        Cidr cidr = range;
        Assert.True(cidr.Contains(IPAddress.Parse(inside)));
        Assert.False(cidr.Contains(IPAddress.Parse(outside)));
        Assert.Equal(cidr, Cidr.Parse(cidr.ToString()));
    }

    [Theory]
    [InlineData("10.1.2.3/8", "bits set beyond the first 8", "did you mean 10.0.0.0/8, or 10.1.2.3/32?")]
    [InlineData("2001:db8::1/32", "bits set beyond the first 32", "did you mean 2001:db8::/32, or 2001:db8::1/128?")]
    [InlineData("::ffff:10.0.0.1/104", "beyond the first 104", "did you mean 10.0.0.0/8, or 10.0.0.1/32?")]
    [InlineData("10.0.0.0/33", "'33' is not a prefix length", "0 to 32")]
    [InlineData("10.0.0.0/08", "'08' is not a prefix length", "0 to 32")]
    [InlineData("10.0.0.0/", "'' is not a prefix length", "0 to 32")]
    [InlineData("10.0.0.0/-1", "'-1' is not a prefix length", "0 to 32")]
    [InlineData("::/129", "'129' is not a prefix length", "0 to 128")]
    [InlineData("::ffff:10.0.0.0/8", "'8' is not a prefix length", "96 to 128")]
    [InlineData("10.0.0.0/255.0.0.0", "a network mask is written as its number of bits", "did you mean 10.0.0.0/8?")]
    [InlineData("10.0.0.0/255.0.255.0", "'255.0.255.0' is not a prefix length", "0 to 32")]
    [InlineData("10/8", "four parts", "did you mean 10.0.0.0/8?")]
    [InlineData("10.1", "four parts", "did you mean 10.1.0.0/16?")]
    [InlineData("192.168.1.", "four parts", "did you mean 192.168.1.0/24?")]
    [InlineData("[2001:db8::]/32", "without brackets", "did you mean 2001:db8::/32?")]
    [InlineData("10.0.0.1:80", "a network has no port", "did you mean 10.0.0.1?")]
    [InlineData("[::1]:80", "a network has no port", "did you mean ::1?")]
    [InlineData("*", "two ranges", "0.0.0.0/0 and ::/0")]
    [InlineData("/8", "the address is missing", "10.0.0.0/8")]
    [InlineData("", "the address is missing", "10.0.0.0/8")]
    [InlineData("010.0.0.0/8", "no network in CIDR notation", "10.0.0.0/8")]
    [InlineData("example.org", "no network in CIDR notation", "10.0.0.0/8")]
    [InlineData("fe80::1%lo/64", "no network in CIDR notation", "10.0.0.0/8")]
    [InlineData("10.0.0.0-10.0.0.9", "no network in CIDR notation", "10.0.0.0/8")]
    public void Nonsense_is_refused_and_the_message_says_what_was_meant(string text, string reason, string hint)
    {
        var error = Assert.Throws<InvalidSettingException>(() => Cidr.Parse(text));
        Assert.Contains(reason, error.Reason);
        Assert.Contains(hint, error.Hint);
        Assert.False(Cidr.TryParse(text, out _, out var said));
        Assert.Equal(error.Message, said);
    }

    [Fact]
    public void The_system_and_we_agree_on_random_ranges()
    {
        var random = new Random(4_226);
        for (var i = 0; i < 2_000; i++)
        {
            var bytes = new byte[random.Next(2) == 0 ? 4 : 16];
            random.NextBytes(bytes);
            var address = new IPAddress(bytes);
            var prefix = random.Next(bytes.Length * 8 + 1);
            var text = $"{address}/{prefix}";
            Assert.Equal(IsExact(bytes, prefix), Cidr.TryParse(text, out var cidr, out _));
            var network = cidr is null ? default : new IPNetwork(cidr.Address, cidr.PrefixLength);
            bytes[random.Next(bytes.Length)] ^= (byte)(1 << random.Next(8));
            if (cidr is not null)
                Assert.Equal(network.Contains(new IPAddress(bytes)), cidr.Contains(new IPAddress(bytes)));
        }
    }

    private static bool IsExact(byte[] bytes, int prefix) => Enumerable.Range(prefix, bytes.Length * 8 - prefix)
        .All(bit => (bytes[bit / 8] >> (7 - bit % 8) & 1) == 0);
}
