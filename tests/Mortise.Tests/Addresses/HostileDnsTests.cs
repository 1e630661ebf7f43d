using System.Diagnostics;
using System.Net;
using Xunit;
using static Mortise.Tests.Addresses.DnsReplyBytes;

namespace Mortise.Tests.Addresses;

/// <summary>Servers that lie, loop, cut, flood or keep silent. Each lookup ends, with the right word.</summary>
public sealed class HostileDnsTests
{
    private const string Host = "host.example";

    public static TheoryData<string, string> MalformedReplies => new()
    {
        { "pointer to itself", "does not point backwards" },
        { "pointer forwards", "does not point backwards" },
        { "pointers in a circle", "does not point backwards" },
        { "pointer cut", "compression pointer" },
        { "label past the end", "label goes past the end" },
        { "name without end", "a name goes past the end" },
        { "name over 255 bytes", "longer than 255" },
        { "unknown label type", "unknown type" },
        { "record cut", "ends inside a record" },
        { "record length lies", "past the end" },
        { "address of five bytes", "5 bytes" },
        { "name shorter than its record", "does not fill its record" },
        { "10,000 records announced", "a name goes past the end" },
    };

    [Theory]
    [MemberData(nameof(MalformedReplies))]
    public async Task A_malformed_reply_is_an_error_that_says_what_is_wrong(string kind, string says)
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [Malformed(kind, new DnsReplyBytes(ask))];
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync(Host));
        Assert.Equal("TRY_AGAIN", error.Symbol);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
        Assert.Contains(Host, error.Message, StringComparison.Ordinal);
        Assert.Contains(dns.Address.ToString(), error.Message, StringComparison.Ordinal);
    }

    private static byte[] Malformed(string kind, DnsReplyBytes reply)
    {
        var here = reply.Length;
        byte[] address = [10, 0, 0, 1];
        byte[] label = [63, .. new byte[63].Select(_ => (byte)'a')];
        return (kind switch
        {
            "pointer to itself" => reply.Record(Pointer(here), A, 1, address),
            "pointer forwards" => reply.Record(Pointer(here + 4), A, 1, address),
            "pointers in a circle" => reply.Record([1, (byte)'a', .. Pointer(here)], A, 1, address),
            "pointer cut" => reply.Raw(0xc0).Announce(1),
            "label past the end" => reply.Raw(20, 1, 2, 3).Announce(1),
            "name without end" => reply.Raw(1, (byte)'a').Announce(1),
            "name over 255 bytes" => reply.Record([.. label, .. label, .. label, .. label, 0], A, 1, address),
            "unknown label type" => reply.Record([0x41, 1, 0], A, 1, address),
            "record cut" => reply.Raw([.. Pointer(12), 0, 1, 0, 1, 0]).Announce(1),
            "record length lies" => reply.Record(Pointer(12), A, 1, address, lengthLie: 60_000),
            "address of five bytes" => reply.Record(Pointer(12), A, 1, [1, 2, 3, 4, 5]),
            "name shorter than its record" => reply.Record(Pointer(12), Cname, 1, [1, (byte)'b', 0, 9, 9]),
            _ => reply.Record(Pointer(12), A, 1, address).Announce(10_000),
        }).ToArray();
    }

    [Fact]
    public async Task A_reply_with_another_id_or_question_or_that_is_a_query_is_ignored_and_the_true_one_awaited()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask =>
        {
            var forged = new DnsReplyBytes(ask).Address(Host, "6.6.6.6");
            var otherName = new DnsReplyBytes(ask with { Query = OtherQuestion(ask.Query) }).Address(Host, "6.6.6.6");
            var query = new DnsReplyBytes(ask).Address(Host, "6.6.6.6").ToArray();
            query[2] &= 0x7f;
            return
            [
                [], [1], forged.WithId((ask.Query[0] << 8 | ask.Query[1]) ^ 1).ToArray(), otherName.ToArray(), query,
                new DnsReplyBytes(ask).Address(Host, ask.Type == A ? "10.0.0.1" : "fd00::1").ToArray(),
            ];
        };
        var host = await dns.Resolver().ResolveAsync(Host);
        Assert.Equal([IPAddress.Parse("fd00::1"), IPAddress.Parse("10.0.0.1")], host.Addresses);
    }

    private static byte[] OtherQuestion(byte[] query)
    {
        byte[] other = [.. query];
        other[13] ^= 1;
        return other;
    }

    [Fact]
    public async Task Records_of_names_off_the_chain_are_not_taken()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [new DnsReplyBytes(ask).Address("bank.example", "6.6.6.6")
            .Address(Host, ask.Type == A ? "10.0.0.1" : "fd00::1").ToArray()];
        Assert.DoesNotContain(IPAddress.Parse("6.6.6.6"), (await dns.Resolver().ResolveAsync(Host)).Addresses);
    }

    [Fact]
    public async Task A_CNAME_circle_ends()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [new DnsReplyBytes(ask).Pointing(Host, Cname, "b.example")
            .Pointing("b.example", Cname, Host).ToArray()];
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync(Host));
        Assert.Contains("circle", error.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(2, "SERVFAIL")]
    [InlineData(5, "REFUSED")]
    [InlineData(9, "code 9")]
    public async Task A_failing_server_is_asked_again_and_then_named(int code, string word)
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [new DnsReplyBytes(ask, code).ToArray()];
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver(attempts: 3).ResolveAsync(Host));
        Assert.Equal("TRY_AGAIN", error.Symbol);
        Assert.Contains($"{dns.Address} answers {word}", error.Message, StringComparison.Ordinal);
        Assert.Equal(6, dns.Asked.Count);
    }

    [Fact]
    public async Task What_one_family_brings_is_enough_when_the_other_fails()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [ask.Type == A
            ? new DnsReplyBytes(ask).Address(Host, "10.0.0.1").ToArray()
            : new DnsReplyBytes(ask, code: 2).ToArray()];
        Assert.Equal([IPAddress.Parse("10.0.0.1")], (await dns.Resolver().ResolveAsync(Host)).Addresses);
    }

    [Fact]
    public async Task A_name_with_thousands_of_addresses_is_cut_to_256()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [ask.OverTcp ? Flood(ask) : new DnsReplyBytes(ask).Cut().ToArray()];
        var host = await dns.Resolver().ResolveAsync(Host);
        Assert.Equal(256, host.Addresses.Count);
    }

    private static byte[] Flood(DnsAsk ask)
    {
        var reply = new DnsReplyBytes(ask);
        for (var i = 0; i < 4_000; i++)
            reply.Record(Pointer(12), A, 60, [10, 1, (byte)(i >> 8), (byte)i]);
        return reply.ToArray();
    }

    [Fact]
    public async Task A_cut_reply_is_asked_for_again_over_TCP()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [ask.OverTcp
            ? new DnsReplyBytes(ask).Address(Host, ask.Type == A ? "10.0.0.1" : "fd00::1").ToArray()
            : new DnsReplyBytes(ask).Raw(0xc0).Announce(7).Cut().ToArray()];
        Assert.Equal(2, (await dns.Resolver().ResolveAsync(Host)).Addresses.Count);
        Assert.Equal(2, dns.Asked.Count(ask => ask.OverTcp));
    }

    [Theory]
    [InlineData("announces more than it sends", "ended inside it")]
    [InlineData("announces less than a header", "does not answer the question")]
    [InlineData("sends half a length", "ended inside it")]
    [InlineData("answers another question", "does not answer the question")]
    [InlineData("is cut again", "cut over TCP too")]
    public async Task A_TCP_server_that_lies_about_the_length_is_found_out(string lie, string says)
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [new DnsReplyBytes(ask).Cut().ToArray()];
        dns.FrameTcp = reply => lie switch
        {
            "announces more than it sends" => [0xff, 0xff, .. reply],
            "announces less than a header" => [0, 5, .. reply],
            "sends half a length" => [0],
            "answers another question" => [0, (byte)reply.Length, .. OtherQuestion(reply)],
            _ => [0, (byte)reply.Length, .. reply],
        };
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync(Host));
        Assert.Equal("TRY_AGAIN", error.Symbol);
        Assert.Contains(says, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_UDP_reply_larger_than_we_asked_for_is_refused()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = ask => [new DnsReplyBytes(ask).Address(Host, "10.0.0.1").Raw(new byte[5_000]).ToArray()];
        var error = await Assert.ThrowsAsync<ResolveException>(() => dns.Resolver().ResolveAsync(Host));
        Assert.Contains("larger than a UDP reply", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Silence_ends_with_the_timeout_after_every_attempt_was_made()
    {
        await using var dns = new LoopbackDns();
        dns.Answer = _ => [];
        var clock = Stopwatch.StartNew();
        var error = await Assert.ThrowsAsync<ResolveException>(
            () => dns.Resolver(TimeSpan.FromMilliseconds(300), attempts: 3).ResolveAsync(Host));
        Assert.Equal("ETIMEDOUT", error.Symbol);
        Assert.Contains($"{dns.Address} did not answer within 0.3 s", error.Message, StringComparison.Ordinal);
        Assert.InRange(clock.Elapsed, TimeSpan.FromMilliseconds(280), TimeSpan.FromSeconds(8));
        Assert.Equal(6, dns.Asked.Count);
        Assert.Equal(6, dns.Asked.Select(ask => (ask.Type, ask.Query[0] << 8 | ask.Query[1])).Distinct().Count());
        Row.Observed("D08", error.Message);
    }

    [Fact]
    public async Task A_lookup_is_cancelled_at_once()
    {
        await using var dns = new LoopbackDns();
        using var cancel = new CancellationTokenSource();
        dns.Answer = _ =>
        {
            cancel.Cancel();
            return [];
        };
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => dns.Resolver(TimeSpan.FromMinutes(5)).ResolveAsync(Host, cancel.Token)
                .WaitAsync(TimeSpan.FromSeconds(10)));
    }

    [Fact]
    public async Task A_port_where_nobody_listens_is_an_error_at_once()
    {
        var dns = new LoopbackDns();
        var resolver = dns.Resolver(TimeSpan.FromMinutes(5));
        await dns.DisposeAsync();
        var error = await Assert.ThrowsAsync<ResolveException>(
            () => resolver.ResolveAsync(Host).WaitAsync(TimeSpan.FromSeconds(10)));
        Assert.Equal("TRY_AGAIN", error.Symbol);
        Assert.Contains("ConnectionRefused", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Bytes_that_are_no_host_name_arrive_escaped()
    {
        await using var dns = new LoopbackDns();
        dns.Add("1.0.0.10.in-addr.arpa", Ptr, "\u001b[31mevil\n.example");
        var host = await dns.Resolver().ReverseAsync(IPAddress.Parse("10.0.0.1"));
        Assert.Equal(@"\027\09131mevil\010.example", host.Name);
    }
}
