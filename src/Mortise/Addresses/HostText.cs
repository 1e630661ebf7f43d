using System.Net;
using System.Net.Sockets;

namespace Mortise.Addresses;

/// <summary>
/// The host part of an endpoint: an IPv4 address, an IPv6 address or a name. What looks like a number but is not a
/// strict dotted quad is neither; IPAddress.Parse would read 010.0.0.1 as 8.0.0.1.
/// </summary>
internal static class HostText
{
    private const int NameCharsMax = 253;
    private const int LabelCharsMax = 63;

    /// <summary>Reads a host to its canonical text: names in lower case, addresses as inet_ntop writes them.</summary>
    public static bool TryRead(string text, out string host, out Refusal refusal)
    {
        host = "";
        refusal = default;
        if (text.Contains(':') || LooksNumeric(text))
        {
            if (AddressText.Read(text) is { } address)
                host = AddressText.Write(address);
            else
                refusal = text.Contains(':') ? RefuseV6(text) : RefuseV4(text);
        }
        else if (NameFault(text) is { } fault)
            refusal = new(fault, "a host is a name such as my-host.example, or an address such as 127.0.0.1");
        else
            host = text.ToLowerInvariant();
        return host.Length != 0;
    }

    public static bool IsV6(string text) => AddressText.Read(text) is { } && text.Contains(':');

    public static Refusal RefuseV6(string text)
    {
        var percent = text.IndexOf('%');
        return percent > 0
            && AddressText.Read(text.AsSpan(0, percent)) is { AddressFamily: AddressFamily.InterNetworkV6 }
            ? new($"there is no interface {Refusal.Show(text[(percent + 1)..])} on this machine",
                "name one that `ip link` lists, or its number")
            : new($"{Refusal.Show(text)} is not an IPv6 address", "for example ::1 or fe80::1%lo");
    }

    private static Refusal RefuseV4(string text)
    {
        var parts = text.Split('.');
        if (parts.FirstOrDefault(part => part.Length > 1 && part[0] == '0' && part.All(char.IsAsciiDigit)) is { } octal)
            return new($"'{octal}' in {Refusal.Show(text)} has a leading zero, which some read as octal",
                "write the address as four decimal numbers without leading zeros");
        return new($"{Refusal.Show(text)} is not an IPv4 address: that is four numbers 0 to 255 with dots between",
            "for example 127.0.0.1");
    }

    /// <summary>A name whose last label is a number cannot be a name (RFC 1123), so an address was meant.</summary>
    private static bool LooksNumeric(string text)
    {
        var trimmed = text.AsSpan().TrimEnd('.');
        var last = trimmed[(trimmed.LastIndexOf('.') + 1)..];
        if (last.StartsWith("0x", StringComparison.OrdinalIgnoreCase))
            return !last[2..].ContainsAnyExcept("0123456789abcdefABCDEF");
        return last.Length > 0 && !last.ContainsAnyExceptInRange('0', '9');
    }

    internal static string? NameFault(string text)
    {
        var name = text.EndsWith('.') ? text[..^1] : text;
        if (name.Length is 0 or > NameCharsMax)
            return name.Length == 0 ? "the host is missing" : $"the host name is {name.Length} characters, limit 253";
        foreach (var label in name.Split('.'))
        {
            if (label.Length is 0 or > LabelCharsMax)
                return $"{Refusal.Show(text)} has a label of {label.Length} characters; a label has 1 to 63";
            if (label.Any(c => !char.IsAscii(c)))
                return $"{Refusal.Show(text)} is not ASCII; write an international name in its xn-- form";
            if (label[0] == '-' || label[^1] == '-' || !label.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_'))
                return $"{Refusal.Show(text)} is not a host name";
        }
        return null;
    }
}
