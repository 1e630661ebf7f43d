using System.Net;
using System.Net.Sockets;

namespace Mortise.Addresses;

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
