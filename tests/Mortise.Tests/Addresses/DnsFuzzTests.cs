using Mortise.Addresses.Dns;
using Xunit;

namespace Mortise.Tests.Addresses;

public sealed class DnsFuzzTests
{
    [Fact]
    public void Any_bytes_are_read_or_refused_and_nothing_else()
    {
        var random = new Random(1035);
        var query = DnsMessage.EncodeQuery(7, "host.example", DnsType.A);
        var ask = new DnsAsk(query, "host.example", 1, false);
        var whole = new DnsReplyBytes(ask).Pointing("host.example", 5, "b.example")
            .Record(DnsReplyBytes.Pointer(12), 1, 60, [10, 0, 0, 1]).Address("b.example", "fd00::1").ToArray();
        var (read, refused) = (0, 0);
        for (var round = 0; round < 100_000; round++)
        {
            var length = random.Next(4) == 0 ? random.Next(query.Length, whole.Length) : whole.Length;
            byte[] bytes = [.. whole.AsSpan(0, length)];
            for (var edits = random.Next(1, 5); edits > 0; edits--)
                bytes[random.Next(bytes.Length)] = random.Next(3) == 0 ? (byte)0xc0 : (byte)random.Next(256);
            try
            {
                if (DnsMessage.Answers(bytes, query))
                    DnsMessage.Decode(bytes, query.Length);
                read++;
            }
            catch (DnsFormatException)
            {
                refused++;
            }
        }
        Assert.True(read > 10_000 && refused > 10_000, $"{read} read, {refused} refused");
    }

    [Fact]
    public void A_name_that_does_not_fit_the_wire_is_not_sent()
    {
        Assert.Throws<ArgumentException>(() => DnsMessage.EncodeQuery(1, new string('a', 64), DnsType.A));
        Assert.Throws<ArgumentException>(() => DnsMessage.EncodeQuery(1, "a..b", DnsType.A));
        Assert.Throws<ArgumentException>(() => DnsMessage.EncodeQuery(1,
            string.Join('.', Enumerable.Repeat(new string('a', 63), 4)), DnsType.A));
        Assert.Equal("0007010000010000000000000161026262000001 0001".Replace(" ", "", StringComparison.Ordinal),
            Convert.ToHexString(DnsMessage.EncodeQuery(7, "a.bb.", DnsType.A)));
    }
}
