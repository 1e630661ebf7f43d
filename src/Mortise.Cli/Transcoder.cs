using System.Text;

namespace Mortise.Cli;

/// <summary>
/// Turns a stream of bytes from one encoding into another. It remembers a character that a read has cut in two, which
/// converting piece by piece would corrupt.
/// </summary>
internal sealed class Transcoder(Encoding from, Encoding to)
{
    private readonly Decoder _decoder = from.GetDecoder();
    private readonly Encoder _encoder = to.GetEncoder();

    /// <summary>The next piece, as far as its characters are whole; the last piece shows also half a one.</summary>
    public ReadOnlyMemory<byte> Convert(ReadOnlySpan<byte> piece, bool last = false)
    {
        var chars = Decode(piece, last);
        var bytes = new byte[to.GetMaxByteCount(chars.Length)];
        return bytes.AsMemory(0, _encoder.GetBytes(chars, bytes, flush: last));
    }

    /// <summary>The characters that are whole.</summary>
    public string Decode(ReadOnlySpan<byte> piece, bool last = false)
    {
        var chars = new char[from.GetMaxCharCount(piece.Length)];
        return new string(chars, 0, _decoder.GetChars(piece, chars, flush: last));
    }
}
