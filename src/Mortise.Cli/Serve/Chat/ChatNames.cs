using System.Globalization;
using System.Text;

namespace Mortise.Cli.Serve.Chat;

/// <summary>What people and rooms may be called: letters and digits of any script, and <c>- _ .</c> between.</summary>
internal static class ChatNames
{
    public const int RunesMax = 24;

    /// <summary>Two that differ only in case are the same.</summary>
    public static string Key(string name) => name.ToUpperInvariant();

    /// <summary>Why not, or null. What passes can neither move a cursor nor look like a line of the chat's own.
    /// </summary>
    public static string? WhyNot(string? name, string what)
    {
        if (string.IsNullOrEmpty(name))
            return $"which {what}?";
        var (runes, marks) = (0, 0);
        foreach (var rune in name.EnumerateRunes())
        {
            var isMark = Rune.GetUnicodeCategory(rune) is UnicodeCategory.NonSpacingMark
                or UnicodeCategory.SpacingCombiningMark;
            marks = isMark ? marks + 1 : 0;
            runes++;
            if (!isMark && !Rune.IsLetterOrDigit(rune) && (runes == 1 || rune.Value is not ('-' or '_' or '.'))
                || marks > 2 || marks == runes)
                return $"a {what} has letters, digits and - _ . (and begins with a letter or digit)";
        }

        return runes <= RunesMax ? null : $"a {what} has at most {RunesMax} characters";
    }
}
