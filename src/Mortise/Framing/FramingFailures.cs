using System.Buffers;
using Mortise.Errors;

namespace Mortise;

/// <content>
/// The failures of every rule, in the words a reader of a log needs: what arrived, and who may have sent it.
/// </content>
public abstract partial class Framing
{
    /// <summary>How messages name a port with this rule.</summary>
    private protected virtual string PortKind => ToString();

    /// <summary>1048576 → <c>1 MiB</c>, 1000 → <c>1000 B</c>.</summary>
    private static string SizeText(long bytes) => bytes switch
    {
        >= 1024 * 1024 when bytes % (1024 * 1024) == 0 => $"{bytes / (1024 * 1024)} MiB",
        >= 1024 when bytes % 1024 == 0 => $"{bytes / 1024} KiB",
        _ => $"{bytes} B",
    };

    /// <summary>A length that the peer announced and the rule forbids; nothing was allocated for it.</summary>
    private FrameException TooLong(ulong announced, string announcedText, string hint) => new(
        CloseReason.FrameTooLong, $"announced={announcedText} max={SizeText(FrameBytesMax)}", hint)
    {
        AnnouncedBytes = (long)Math.Min(announced, long.MaxValue),
        FrameBytesMax = FrameBytesMax,
    };

    /// <summary>A frame that went on beyond the maximum without its end.</summary>
    private FrameException Endless(long haveBytes, string end, ReadOnlySequence<byte> frame) => new(
        CloseReason.FrameTooLong, $"have={haveBytes} max={SizeText(FrameBytesMax)} and no {end} yet",
        Stranger(frame) ?? "raise max= if such frames are meant")
    {
        FrameBytesMax = FrameBytesMax,
        HaveBytes = haveBytes,
    };

    private FrameException TooLongToWrite(long payloadBytes) => new(CloseReason.FrameTooLong,
        $"a payload of {payloadBytes} bytes to write, max={SizeText(FrameBytesMax)}",
        "raise max= on both sides, or send the message in parts")
    {
        FrameBytesMax = FrameBytesMax,
    };

    private FrameException Truncated(in ReadOnlySequence<byte> left, in FrameScan scan)
    {
        var need = scan.Need > 0 ? $" need={scan.Need}" : "";
        return new FrameException(CloseReason.UnexpectedEof,
            $"the stream ended inside a frame: have={left.Length}{need}",
            Stranger(left) ?? $"the peer closed before it finished the message, or does not speak {this}")
        {
            HaveBytes = left.Length,
            NeedBytes = scan.Need > 0 ? scan.Need : -1,
        };
    }

    private static FrameException Invalid(string reason, string? hint = null) =>
        new(CloseReason.FrameInvalid, reason, hint);

    /// <summary>
    /// A TLS client says hello and waits for an answer: it is told now, not when a frame has taken too long, and its
    /// hello is no line even where a byte of it ends one. No text begins like a record with a ClientHello (RFC 8446,
    /// 5.1 and 4).
    /// </summary>
    private void RefuseTlsHello(in ReadOnlySequence<byte> frame)
    {
        Span<byte> first = stackalloc byte[7];
        if (frame.Length < first.Length)
            return;
        frame.Slice(0, first.Length).CopyTo(first);
        if (first is [0x16, 0x03, <= 0x04, _, _, 0x01, 0x00])
            throw Invalid($"no {PortKind} message begins like this", Stranger(first));
    }

    /// <summary>Names a peer of another protocol by the first bytes it sent, or null.</summary>
    private string? Stranger(ReadOnlySequence<byte> frame)
    {
        Span<byte> first = stackalloc byte[Strangers.BytesMax];
        var start = frame.Slice(0, Math.Min(frame.Length, first.Length));
        start.CopyTo(first);
        return Stranger(first[..(int)start.Length]);
    }

    private string? Stranger(ReadOnlySpan<byte> frame)
    {
        if (frame is [0x16, 0x03, <= 0x04, ..])
            return "these bytes are a TLS hello (16 03 …): a TLS client on a port without TLS?";
        return Strangers.Find(frame) is var (who, bytes)
            ? $"these bytes are {Quoted(frame[..bytes])}: {who} on a {PortKind} port?" : null;
    }

    private static string Quoted(ReadOnlySpan<byte> bytes)
    {
        var quoted = Strangers.Quoted(bytes);
        return quoted[0] == '"' ? $"ASCII {quoted}" : quoted;
    }
}
