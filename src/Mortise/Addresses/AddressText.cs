using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mortise;

/// <summary>What reading an address gave; the values are those that inet_pton(3) returns.</summary>
public enum ParseOutcome
{
    /// <summary>The family is neither IPv4 nor IPv6 (EAFNOSUPPORT).</summary>
    BadFamily = -1,
    /// <summary>The text is not an address of that family.</summary>
    BadText = 0,
    /// <summary>The bytes were written in network order.</summary>
    Ok = 1,
}

/// <summary>
/// Addresses as text and as network bytes: inet_pton(3) and inet_ntop(3), strict as those are. The older inet_aton,
/// inet_addr and inet_ntoa have no counterpart: they know only IPv4, and read <c>010.0.0.1</c> as 8.0.0.1.
/// </summary>
public static class AddressText
{
    /// <summary>INET_ADDRSTRLEN: characters of the longest IPv4 text, with C's closing NUL.</summary>
    public const int InetAddrStrLen = 16;

    /// <summary>INET6_ADDRSTRLEN: characters of the longest IPv6 text, with C's closing NUL.</summary>
    public const int Inet6AddrStrLen = 46;

    /// <summary>Reads an address into 4 or 16 bytes of network order.</summary>
    /// <exception cref="ArgumentException">The span is shorter than the family's address.</exception>
    public static ParseOutcome TryParse(AddressFamily family, ReadOnlySpan<char> text, Span<byte> bytes)
    {
        var length = family switch { AddressFamily.InterNetwork => 4, AddressFamily.InterNetworkV6 => 16, _ => 0 };
        if (length == 0)
            return ParseOutcome.BadFamily;
        if (bytes.Length < length)
            throw new ArgumentException($"{length} bytes are needed, {bytes.Length} given", nameof(bytes));
        Span<byte> read = stackalloc byte[16];
        if (!(length == 4 ? TryReadV4(text, read) : TryReadV6(text, read)))
            return ParseOutcome.BadText;
        read[..length].CopyTo(bytes);
        return ParseOutcome.Ok;
    }

    /// <summary>
    /// Writes 4 or 16 network bytes as text, IPv6 as RFC 5952 has it. False when <paramref name="text"/> is too small
    /// (inet_ntop returns NULL with ENOSPC); no NUL is written, so one character less than the constants suffices.
    /// </summary>
    /// <exception cref="ArgumentException">There are neither 4 nor 16 bytes.</exception>
    public static bool TryFormat(ReadOnlySpan<byte> bytes, Span<char> text, out int charsWritten) => bytes.Length switch
    {
        4 => text.TryWrite(CultureInfo.InvariantCulture, $"{bytes[0]}.{bytes[1]}.{bytes[2]}.{bytes[3]}",
            out charsWritten),
        16 => TryFormatV6(bytes, text, out charsWritten),
        _ => throw new ArgumentException("an address has 4 or 16 bytes", nameof(bytes)),
    };

    /// <summary>What inet_addr(3) was for: <c>uint32 0x84F1050A (2230387978), net bytes 84 F1 05 0A</c>.</summary>
    /// <exception cref="ArgumentException">The address is not IPv4.</exception>
    public static string DescribeLegacy(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        var value = ToUInt32(address);
        return string.Create(CultureInfo.InvariantCulture,
            $"uint32 0x{value:X8} ({value}), net bytes {value >> 24:X2} {value >> 16 & 255:X2} {value >> 8 & 255:X2} "
            + $"{value & 255:X2}");
    }

    /// <summary>An IPv4 address as the number whose highest byte is its first part.</summary>
    /// <exception cref="ArgumentException">The address is not IPv4.</exception>
    public static uint ToUInt32(IPAddress address)
    {
        ArgumentNullException.ThrowIfNull(address);
        Span<byte> bytes = stackalloc byte[16];
        return address.TryWriteBytes(bytes, out var written) && written == 4
            ? BinaryPrimitives.ReadUInt32BigEndian(bytes)
            : throw new ArgumentException("only an IPv4 address fits 32 bits", nameof(address));
    }

    /// <summary>Reads either family, IPv6 with an optional %interface; IPv4 inside IPv6 comes back as IPv4.</summary>
    internal static IPAddress? Read(ReadOnlySpan<char> text)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (TryReadV4(text, bytes))
            return new IPAddress(bytes[..4]);
        var percent = text.IndexOf('%');
        if (!TryReadV6(percent < 0 ? text : text[..percent], bytes))
            return null;
        var scope = percent < 0 ? 0 : ScopeOf(text[(percent + 1)..]);
        if (scope < 0)
            return null;
        var address = new IPAddress(bytes, scope);
        return address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
    }

    /// <summary>The text that <see cref="Read"/> reads back; a scope is written as its number.</summary>
    internal static string Write(IPAddress address)
    {
        var shown = address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
        Span<char> text = stackalloc char[Inet6AddrStrLen];
        TryFormat(shown.GetAddressBytes(), text, out var written);
        var host = text[..written].ToString();
        return shown.AddressFamily == AddressFamily.InterNetworkV6 && shown.ScopeId != 0
            ? string.Create(CultureInfo.InvariantCulture, $"{host}%{shown.ScopeId}")
            : host;
    }

    /// <summary>The number of an interface given by number or name; -1 when there is no such interface.</summary>
    private static long ScopeOf(ReadOnlySpan<char> text)
    {
        if (text.Length > 0 && !text.ContainsAnyExceptInRange('0', '9'))
            return uint.TryParse(text, CultureInfo.InvariantCulture, out var number) ? number : -1;
        return IPAddress.TryParse($"fe80::1%{text}", out var local) && local.ScopeId != 0 ? local.ScopeId : -1;
    }

    private static bool TryReadV4(ReadOnlySpan<char> text, Span<byte> bytes)
    {
        var part = 0;
        foreach (var range in text.Split('.'))
        {
            var digits = text[range];
            if (part == 4 || digits.Length is 0 or > 3 || (digits.Length > 1 && digits[0] == '0')
                || digits.ContainsAnyExceptInRange('0', '9')
                || !byte.TryParse(digits, CultureInfo.InvariantCulture, out bytes[part++]))
                return false;
        }
        return part == 4;
    }

    /// <summary>RFC 4291 section 2.2: eight groups, one run of zeros as ::, the end also as a dotted quad.</summary>
    private static bool TryReadV6(ReadOnlySpan<char> text, Span<byte> bytes)
    {
        bytes.Clear();
        var gap = -1;
        var at = 0;
        if (text.StartsWith("::"))
        {
            gap = 0;
            text = text[2..];
            if (text.IsEmpty)
                return true;
        }
        while (true)
        {
            var colon = text.IndexOf(':');
            var group = colon < 0 ? text : text[..colon];
            if (colon < 0 && group.Contains('.'))
            {
                if (at > 12 || !TryReadV4(group, bytes[at..]))
                    return false;
                at += 4;
                break;
            }
            if (at > 14 || group.Length is 0 or > 4 || group.ContainsAnyExcept("0123456789abcdefABCDEF"))
                return false;
            BinaryPrimitives.WriteUInt16BigEndian(bytes[at..], Convert.ToUInt16(group.ToString(), 16));
            at += 2;
            if (colon < 0)
                break;
            text = text[(colon + 1)..];
            if (!text.StartsWith(':'))
                continue;
            if (gap >= 0)
                return false;
            gap = at;
            text = text[1..];
            if (text.IsEmpty)
                break;
        }
        return CloseGap(bytes[..16], at, gap);
    }

    private static bool CloseGap(Span<byte> bytes, int filled, int gap)
    {
        if (gap < 0)
            return filled == 16;
        if (filled > 14)
            return false;
        var tail = filled - gap;
        bytes.Slice(gap, tail).CopyTo(bytes[(16 - tail)..]);
        bytes[gap..(16 - tail)].Clear();
        return true;
    }

    private static bool TryFormatV6(ReadOnlySpan<byte> bytes, Span<char> text, out int charsWritten)
    {
        // The runtime writes some other prefixes with a dotted quad too; RFC 5952 leaves only the mapped one.
        var zeros = LongestZeros(bytes);
        Span<char> made = stackalloc char[Inet6AddrStrLen];
        var at = 0;
        for (var group = 0; group < 8; group++)
        {
            if (group == zeros.Start)
            {
                made[at++] = ':';
                group += zeros.Length - 1;
                if (group == 7)
                    made[at++] = ':';
                continue;
            }
            if (group > 0)
                made[at++] = ':';
            var mapped = group == 6 && zeros == (0, 5) && bytes[10] == 255 && bytes[11] == 255;
            var written = 0;
            _ = mapped
                ? TryFormat(bytes[12..], made[at..], out written)
                : BinaryPrimitives.ReadUInt16BigEndian(bytes[(group * 2)..]).TryFormat(made[at..], out written, "x",
                    CultureInfo.InvariantCulture);
            at += written;
            if (mapped)
                break;
        }
        charsWritten = made[..at].TryCopyTo(text) ? at : 0;
        return charsWritten != 0;
    }

    /// <summary>The first longest run of two or more zero groups; Start is -1 without one.</summary>
    private static (int Start, int Length) LongestZeros(ReadOnlySpan<byte> bytes)
    {
        var best = (Start: -1, Length: 1);
        var run = 0;
        for (var group = 0; group < 8; group++)
        {
            run = bytes[group * 2] == 0 && bytes[group * 2 + 1] == 0 ? run + 1 : 0;
            if (run > best.Length)
                best = (group - run + 1, run);
        }
        return best;
    }
}
