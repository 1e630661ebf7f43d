using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Mortise.Cli.Talk;

/// <summary>
/// What this side says: the texts of --send, or standard input in pieces as they come. It reads ahead no further than
/// the piece that is being sent, so 64 MiB through a pipe cost one buffer.
/// </summary>
internal sealed record Outgoing
{
    private const int PieceBytes = 64 * 1024;

    /// <summary>The texts of --send with their escapes; null reads standard input.</summary>
    public string[]? Texts { get; init; }

    /// <summary>How often the texts are sent; <see cref="int.MaxValue"/> is until somebody stops it.</summary>
    public int Count { get; init; } = 1;

    /// <summary>The pause between two sends.</summary>
    public TimeSpan Every { get; init; }

    /// <summary>Standard input is cut into lines, and the line ends are not sent.</summary>
    public bool ByLine { get; init; }

    /// <summary>The longest line, in bytes.</summary>
    public long LineBytesMax { get; init; } = Framing.FrameBytesMaxDefault;

    /// <summary>The encoding on the wire; null leaves bytes as they are.</summary>
    public Encoding? Encoding { get; init; }

    /// <summary>The pieces in order; each is valid until the next is asked for.</summary>
    /// <exception cref="InvalidSettingException">An escape in the text is wrong.</exception>
    /// <exception cref="FrameException">A line of standard input is too long.</exception>
    public IAsyncEnumerable<ReadOnlyMemory<byte>> PiecesAsync(CancellationToken cancellationToken) =>
        Texts is not null ? TextsAsync(cancellationToken)
        : ByLine ? LinesAsync(cancellationToken)
        : BytesAsync(cancellationToken);

    private async IAsyncEnumerable<ReadOnlyMemory<byte>> TextsAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        for (var n = 1; ; n++)
        {
            foreach (var text in Texts!)
                yield return TextValues.Unescape(
                    text.Replace("{n}", n.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal), Encoding);
            if (n >= Count)
                yield break;
            await Task.Delay(Every, cancellationToken);
        }
    }

    private async IAsyncEnumerable<ReadOnlyMemory<byte>> BytesAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using var input = Console.OpenStandardInput();
        var buffer = new byte[PieceBytes];
        var converter = Encoding is null ? null : new Transcoder(Encoding.UTF8, Encoding);
        for (int read; (read = await input.ReadAsync(buffer, cancellationToken)) > 0;)
            yield return converter?.Convert(buffer.AsSpan(0, read)) ?? buffer.AsMemory(0, read);
        if (converter?.Convert(default, last: true) is { IsEmpty: false } half)
            yield return half;
    }

    private async IAsyncEnumerable<ReadOnlyMemory<byte>> LinesAsync(
        [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using var input = Console.OpenStandardInput();
        var buffer = new byte[PieceBytes];
        var line = new MemoryStream();
        for (int read; (read = await input.ReadAsync(buffer, cancellationToken)) > 0;)
        {
            for (var rest = buffer.AsMemory(0, read); !rest.IsEmpty;)
            {
                var end = rest.Span.IndexOf((byte)'\n');
                line.Write(rest.Span[..(end < 0 ? rest.Length : end)]);
                if (line.Length > LineBytesMax)
                    throw new FrameException(CloseReason.FrameTooLong,
                        $"a line of standard input is longer than {LineBytesMax} bytes", "raise max= in --frame");
                if (end < 0)
                    break;
                yield return Take(line);
                rest = rest[(end + 1)..];
            }
        }

        if (line.Length > 0)
            yield return Take(line);
    }

    private byte[] Take(MemoryStream line)
    {
        var bytes = line.ToArray();
        line.SetLength(0);
        return Encoding is null ? bytes : Encoding.Convert(Encoding.UTF8, Encoding, bytes);
    }
}
