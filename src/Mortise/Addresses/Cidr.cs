using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Numerics;
using Mortise.Addresses;

namespace Mortise;

/// <summary>
/// A range of addresses in CIDR notation (RFC 4632), or one address: <c>10.0.0.0/8</c>, <c>2001:db8::/32</c>,
/// <c>192.0.2.7</c>. A peer of a dual-stack socket is matched by the IPv4 ranges; a scope (<c>%eth0</c>) plays no part.
/// </summary>
/// <example><code>
/// o.Deny.Add("203.0.113.0/24");
/// o.TrustedProxies.Add("10.0.0.5");
/// </code></example>
public sealed class Cidr : IEquatable<Cidr>
{
    private readonly IPNetwork _network;

    private Cidr(IPNetwork network) => _network = network;

    /// <summary>The first address of the range.</summary>
    public IPAddress Address => _network.BaseAddress;

    /// <summary>How many leading bits all addresses of the range share: 0 to 32, for IPv6 to 128.</summary>
    public int PrefixLength => _network.PrefixLength;

    /// <summary>Reads a range, or one address.</summary>
    /// <exception cref="InvalidSettingException">It is neither, or the address has bits beyond the prefix; the message
    /// says what was probably meant.</exception>
    public static Cidr Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return TryRead(text, out var cidr, out var refusal) ? cidr : throw refusal.ToException(text, "network");
    }

    /// <summary>Reads without throwing; <paramref name="error"/> is what <see cref="Parse"/> would say.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out Cidr? cidr,
        [NotNullWhen(false)] out string? error)
    {
        var read = TryRead(text ?? "", out cidr, out var refusal);
        error = read ? null : refusal.ToException(text ?? "", "network").Message;
        return read;
    }

    /// <summary>The same as <see cref="Parse"/>, so that a literal can be passed.</summary>
    public static implicit operator Cidr(string text) => Parse(text);

    /// <summary>The address is in the range.</summary>
    public bool Contains(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        return _network.Contains(address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address);
    }

    /// <inheritdoc/>
    public bool Equals(Cidr? other) => other is not null && other._network == _network;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Cidr);

    /// <inheritdoc/>
    public override int GetHashCode() => _network.GetHashCode();

    /// <summary>The canonical text, always with a prefix: <c>192.0.2.7/32</c>.</summary>
    public override string ToString() => Written(_network);

    private static bool TryRead(string text, [NotNullWhen(true)] out Cidr? cidr, out Refusal refusal)
    {
        cidr = null;
        var slash = text.IndexOf('/');
        var (before, after) = slash < 0 ? (text, "") : (text[..slash], text[(slash + 1)..]);
        if (before.Contains('%') || AddressText.Read(before) is not { } address)
        {
            refusal = RefuseAddress(before, after);
            return false;
        }

        var bits = address.AddressFamily == AddressFamily.InterNetwork ? 32 : 128;
        // 10.0.0.0 written inside IPv6 is the same place, and its prefix counts from the start of the IPv6 address.
        var inside = bits == 32 && before.Contains(':') ? 96 : 0;
        var prefix = bits;
        if (slash >= 0 && !TryReadPrefix(after, inside, bits + inside, address, out prefix, out refusal))
            return false;
        var network = new IPNetwork(Masked(address, prefix), prefix);
        refusal = network.BaseAddress.Equals(address) ? default
            : new($"the address has bits set beyond the first {prefix + inside}",
                $"did you mean {Written(network)}, or {Written(new IPNetwork(address, bits))}?");
        cidr = refusal.Reason is null ? new Cidr(network) : null;
        return cidr is not null;
    }

    private static bool TryReadPrefix(string text, int bitsMin, int bitsMax, IPAddress address, out int prefix,
        out Refusal refusal)
    {
        refusal = default;
        var isPlain = text.Length > 0 && text.All(char.IsAsciiDigit) && (text.Length == 1 || text[0] != '0');
        prefix = isPlain && text.Length <= 3 ? int.Parse(text, CultureInfo.InvariantCulture) - bitsMin : -1;
        if (prefix >= 0 && prefix + bitsMin <= bitsMax)
            return true;
        var mask = AddressText.Read(text) is { AddressFamily: AddressFamily.InterNetwork } m && bitsMax == 32
            ? AddressText.ToUInt32(m) : 0;
        var ones = BitOperations.LeadingZeroCount(~mask);
        refusal = mask != 0 && ones == BitOperations.PopCount(mask)
            ? new("a network mask is written as its number of bits",
                $"did you mean {Written(new IPNetwork(Masked(address, ones), ones))}?")
            : new($"{Refusal.Show(text)} is not a prefix length",
                $"after the slash comes a number of bits, {bitsMin} to {bitsMax}");
        return false;
    }

    private static Refusal RefuseAddress(string before, string after)
    {
        var range = after.Length == 0 ? "" : "/" + after;
        if (before is "*" or "any" or "all")
            return new("every address is written as two ranges", "0.0.0.0/0 and ::/0");
        if (before.Length == 0)
            return new("the address is missing", "write 10.0.0.0/8, 2001:db8::/32 or one address");
        if (before is ['[', .., ']'] && HostText.IsV6(before[1..^1]))
            return new("a network stands without brackets", $"did you mean {before[1..^1]}{range}?");
        if (Endpoint.TryParse(before, out var endpoint, out _)
            && endpoint is { Kind: EndpointKind.Tcp, Address: { } at })
            return new("a network has no port", $"did you mean {AddressText.Write(at)}{range}?");
        var parts = before.TrimEnd('.').Split('.');
        if (parts.Length < 4
            && parts.All(p => byte.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out _)))
            return new("an IPv4 address has four parts",
                $"did you mean {string.Join('.', parts.Concat(Enumerable.Repeat("0", 4 - parts.Length)))}"
                + $"{(after.Length == 0 ? $"/{parts.Length * 8}" : range)}?");
        return new("this is no network in CIDR notation", "write 10.0.0.0/8, 2001:db8::/32 or one address");
    }

    private static IPAddress Masked(IPAddress address, int prefix)
    {
        var bytes = address.GetAddressBytes();
        for (var i = 0; i < bytes.Length; i++)
            bytes[i] &= (byte)(0xFF00 >> Math.Clamp(prefix - i * 8, 0, 8));
        return new IPAddress(bytes);
    }

    private static string Written(IPNetwork network) => string.Create(CultureInfo.InvariantCulture,
        $"{AddressText.Write(network.BaseAddress)}/{network.PrefixLength}");
}
