using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Mortise.Addresses.Dns;

namespace Mortise.Addresses;

/// <summary>One lookup: the questions, and what the replies say about the name.</summary>
internal static class HostLookup
{
    private const int ChainLinksMax = 16;

    /// <summary>A name with more addresses than anyone can try is cut; the first are kept.</summary>
    private const int AddressesMax = 256;

    /// <summary>Asks for both families at once; what one of them brings is enough.</summary>
    public static async Task<HostEntry> ResolveAsync(DnsClient client, IReadOnlyList<IPEndPoint> servers, string name,
        CancellationToken cancellationToken)
    {
        Task<DnsReply>[] asked =
        [
            client.AskAsync(name, DnsType.Aaaa, cancellationToken),
            client.AskAsync(name, DnsType.A, cancellationToken),
        ];
        var both = Task.WhenAll(asked);
        await ((Task)both).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        var chain = new List<string> { name };
        var addresses = new List<IPAddress>();
        var ttlSeconds = uint.MaxValue;
        foreach (var reply in asked.Where(ask => ask.IsCompletedSuccessfully).Select(ask => ask.Result))
            Follow(reply, name, servers, chain, addresses, ref ttlSeconds);
        if (addresses.Count > 0)
        {
            return new(chain[^1], [.. chain.SkipLast(1)], AddressOrder.Interleave(addresses.Distinct()),
                TimeSpan.FromSeconds(ttlSeconds), Source(servers));
        }
        if (asked.Any(ask => ask is { IsCompletedSuccessfully: true, Result.Code: DnsCode.NameError }))
        {
            throw new ResolveException(name, "HOST_NOT_FOUND", $"no such host, says {Source(servers)}",
                "check the spelling, or name the host in the hosts file");
        }
        // A server that failed for one family may have failed to tell us of the only address.
        await both.ConfigureAwait(false);
        throw new ResolveException(name, "NO_DATA", $"the name exists but has no address, says {Source(servers)}");
    }

    /// <summary>The PTR record of an address.</summary>
    public static async Task<HostEntry> ReverseAsync(DnsClient client, IReadOnlyList<IPEndPoint> servers,
        IPAddress address, CancellationToken cancellationToken)
    {
        var arpa = Arpa(address);
        var reply = await client.AskAsync(arpa, DnsType.Ptr, cancellationToken).ConfigureAwait(false);
        foreach (var record in reply.Answers.Where(record => record.Type == DnsType.Ptr))
            return new(record.Target, [], [address], TimeSpan.FromSeconds(record.TtlSeconds), Source(servers));
        throw new ResolveException(AddressText.Write(address), "HOST_NOT_FOUND",
            $"the address has no name, says {Source(servers)}");
    }

    /// <summary>Where no server is known: what the system's own getaddrinfo says. It has no aliases on Linux.</summary>
    public static async Task<HostEntry> SystemAsync(string name, ResolverOptions options,
        CancellationToken cancellationToken)
    {
        var addresses = await SystemCallAsync(name, options, token =>
            System.Net.Dns.GetHostAddressesAsync(name, token), cancellationToken).ConfigureAwait(false);
        return addresses.Length > 0
            ? new(name, [], AddressOrder.Interleave(addresses), null, "system")
            : throw new ResolveException(name, "NO_DATA", "the system knows the name but no address of it");
    }

    /// <summary>The same for an address.</summary>
    public static async Task<HostEntry> SystemReverseAsync(IPAddress address, ResolverOptions options,
        CancellationToken cancellationToken)
    {
        var text = AddressText.Write(address);
        var entry = await SystemCallAsync(text, options, token =>
            System.Net.Dns.GetHostEntryAsync(text, token), cancellationToken).ConfigureAwait(false);
        return entry.HostName != text
            ? new(entry.HostName, entry.Aliases, [address], null, "system")
            : throw new ResolveException(text, "HOST_NOT_FOUND", "the system knows no name of the address");
    }

    private static async Task<T> SystemCallAsync<T>(string name, ResolverOptions options,
        Func<CancellationToken, Task<T>> call, CancellationToken cancellationToken)
    {
        try
        {
            // getaddrinfo cannot be cancelled: it runs on a pool thread of the runtime, and we leave it there.
            return await call(cancellationToken).WaitAsync(options.Timeout, options.TimeProvider, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            throw new ResolveException(name, "ETIMEDOUT", string.Create(CultureInfo.InvariantCulture,
                $"the system's resolver did not answer within {options.Timeout.TotalSeconds:0.###} s"));
        }
        catch (SocketException unknown)
        {
            var symbol = unknown.SocketErrorCode switch
            {
                SocketError.HostNotFound => "HOST_NOT_FOUND",
                SocketError.NoData => "NO_DATA",
                _ => "TRY_AGAIN",
            };
            throw new ResolveException(name, symbol, "the system's resolver says: " + unknown.Message,
                "no DNS server is configured; name one, or put the host in the hosts file", unknown);
        }
    }

    /// <summary>Walks the CNAME chain of a reply from the name; only records on the way count (RFC 1034).</summary>
    private static void Follow(DnsReply reply, string name, IReadOnlyList<IPEndPoint> servers, List<string> chain,
        List<IPAddress> addresses, ref uint ttlSeconds)
    {
        List<string> walked = [name];
        var aliases = reply.Answers.Where(record => record.Type == DnsType.Cname)
            .DistinctBy(record => record.Owner).ToDictionary(record => record.Owner);
        while (aliases.TryGetValue(walked[^1], out var alias))
        {
            if (walked.Count > ChainLinksMax)
            {
                throw new ResolveException(name, "TRY_AGAIN",
                    $"its CNAME records go in a circle or on for too long, says {Source(servers)}",
                    "the zone is wrong; tell who runs it");
            }
            walked.Add(alias.Target);
            ttlSeconds = Math.Min(ttlSeconds, alias.TtlSeconds);
        }
        if (walked.Count > chain.Count)
        {
            chain.Clear();
            chain.AddRange(walked);
        }
        foreach (var record in reply.Answers)
        {
            if (record.Address is null || record.Owner != walked[^1] || addresses.Count == AddressesMax)
                continue;
            addresses.Add(record.Address);
            ttlSeconds = Math.Min(ttlSeconds, record.TtlSeconds);
        }
    }

    private static string Source(IReadOnlyList<IPEndPoint> servers) => "dns " + string.Join(", ", servers);

    /// <summary>RFC 1035 section 3.5 and RFC 3596 section 2.5: the bytes or nibbles backwards.</summary>
    internal static string Arpa(IPAddress address)
    {
        var bytes = address.GetAddressBytes();
        Array.Reverse(bytes);
        return bytes.Length == 4
            ? string.Join('.', bytes) + ".in-addr.arpa"
            : string.Concat(bytes.Select(b => FormattableString.Invariant($"{b & 15:x}.{b >> 4:x}."))) + "ip6.arpa";
    }
}

/// <summary>In which order the addresses of a name are tried.</summary>
internal static class AddressOrder
{
    /// <summary>
    /// RFC 8305 section 4: IPv6 first, then the families in turn, so that one broken family costs one delay and not
    /// the whole list. The order within a family is kept.
    /// </summary>
    public static IReadOnlyList<IPAddress> Interleave(IEnumerable<IPAddress> addresses)
    {
        ArgumentNullException.ThrowIfNull(addresses);
        var families = addresses.ToLookup(address => address.AddressFamily == AddressFamily.InterNetworkV6);
        IPAddress[] v6 = [.. families[true]];
        IPAddress[] others = [.. families[false]];
        var ordered = new List<IPAddress>(v6.Length + others.Length);
        for (var i = 0; i < Math.Max(v6.Length, others.Length); i++)
        {
            if (i < v6.Length)
                ordered.Add(v6[i]);
            if (i < others.Length)
                ordered.Add(others[i]);
        }
        return ordered;
    }
}
