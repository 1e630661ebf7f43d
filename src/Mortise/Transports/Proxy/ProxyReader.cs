using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text;
using Mortise.Errors;

namespace Mortise.Transports.Proxy;

/// <summary>
/// Tells the two versions apart, and both from everything else: nothing here guesses, and bytes behind the header are
/// not looked at.
/// </summary>
internal static class ProxyReader
{
    private const int ShownBytes = 4;

    /// <summary>
    /// False: more bytes are needed. True: <paramref name="header"/> takes the first <paramref name="length"/> bytes.
    /// </summary>
    /// <exception cref="HandshakeException">What came is no header, or a malformed one.</exception>
    public static bool TryRead(in ReadOnlySequence<byte> input, [NotNullWhen(true)] out ProxyHeader? header,
        out int length)
    {
        Span<byte> bytes = stackalloc byte[ProxyText.LineBytesMax];
        ReadOnlySpan<byte> start = bytes[..(int)Math.Min(input.Length, bytes.Length)];
        input.Slice(0, start.Length).CopyTo(bytes);
        if (Agrees(start, ProxyText.Start))
            return ProxyText.TryRead(start, out header, out length);
        if (Agrees(start, ProxyBinary.Signature))
            return ProxyBinary.TryRead(start, input, out header, out length);
        throw Absent(start);
    }

    public static HandshakeException Malformed(string reason) => new("proxy", CloseReason.ProxyHeader,
        "the PROXY header is malformed: " + reason, "see what the proxy sends; nobody else writes the header");

    /// <summary>As far as they go, these bytes are the beginning of it.</summary>
    private static bool Agrees(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> magic) =>
        bytes.Length < magic.Length ? magic.StartsWith(bytes) : bytes.StartsWith(magic);

    private static HandshakeException Absent(ReadOnlySpan<byte> start)
    {
        var shown = start[..Math.Min(start.Length, ShownBytes)];
        var isText = !shown.ContainsAnyExceptInRange((byte)' ', (byte)'~');
        var text = Encoding.Latin1.GetString(shown);
        var who = Strangers.Find(start) is var (known, _) ? known
            : shown is [0x16, 0x03, ..] ? "a TLS client"
            : "a client";
        var what = isText ? $"ASCII '{text}'" : Convert.ToHexString(shown);
        return new HandshakeException("proxy", CloseReason.ProxyHeader,
            $"there is no PROXY header: the first bytes are {what}: {who} directly on a port that requires PROXY?",
            "let clients come through the proxy and make it send the header (haproxy: send-proxy-v2), or set "
            + "`--proxy-protocol off`");
    }
}
