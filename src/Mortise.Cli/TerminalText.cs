using System.Globalization;
using System.Text;

namespace Mortise.Cli;

/// <summary>
/// Peers' bytes for a terminal or a log: what could move the cursor, recolour, reorder or hide text is written out as
/// <c>\xNN</c> or <c>\u{…}</c>, line breaks too, so that a peer cannot write a line that looks like ours.
/// </summary>
internal static class TerminalText
{
    /// <summary>C0, DEL, C1, bidi and other format characters, and line separators are written out.</summary>
    public static string Escape(string text)
    {
        if (text.EnumerateRunes().All(IsHarmless))
            return text;
        var shown = new StringBuilder(text.Length + 16);
        foreach (var rune in text.EnumerateRunes())
            Append(shown, rune);
        return shown.ToString();
    }

    /// <summary>The same for bytes that should be UTF-8; those that are not become <c>\xNN</c> each.</summary>
    /// <param name="bytes">What the peer sent.</param>
    /// <param name="bytesMax">Show at most so many bytes, then <c>…</c>.</param>
    /// <param name="encoding">What the peer speaks; null = UTF-8.</param>
    public static string Escape(ReadOnlySpan<byte> bytes, int bytesMax = int.MaxValue, Encoding? encoding = null)
    {
        var cut = bytes.Length > bytesMax;
        if (cut)
            bytes = bytes[..bytesMax];
        if (encoding is not null && encoding is not UTF8Encoding)
            return Escape(encoding.GetString(bytes)) + (cut ? "…" : "");
        var shown = new StringBuilder(bytes.Length + 16);
        while (!bytes.IsEmpty)
        {
            var valid = Rune.DecodeFromUtf8(bytes, out var rune, out var used) == System.Buffers.OperationStatus.Done;
            if (valid)
                Append(shown, rune);
            else
                for (var i = 0; i < used; i++)
                    shown.Append(CultureInfo.InvariantCulture, $"\\x{bytes[i]:X2}");
            bytes = bytes[used..];
        }

        return shown.Append(cut ? "…" : "").ToString();
    }

    private static void Append(StringBuilder shown, Rune rune)
    {
        if (IsHarmless(rune))
            shown.Append(rune);
        else if (rune.Value == '\n')
            shown.Append("\\n");
        else if (rune.Value == '\r')
            shown.Append("\\r");
        else if (rune.Value == '\t')
            shown.Append("\\t");
        else if (rune.Value < 0x100)
            shown.Append(CultureInfo.InvariantCulture, $"\\x{rune.Value:X2}");
        else
            shown.Append(CultureInfo.InvariantCulture, $"\\u{{{rune.Value:X4}}}");
    }

    private static bool IsHarmless(Rune rune) => Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control
        or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator
        or UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned);
}
