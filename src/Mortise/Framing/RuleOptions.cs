using System.Globalization;
using System.Text;

namespace Mortise;

/// <content>The parts of a rule's text: options, delimiters, and what to say about a word that is not known.</content>
public abstract partial class Framing
{
    /// <summary>What stands after the commas. Every question makes an option known; unknown ones are refused.</summary>
    private sealed class RuleOptions
    {
        private readonly List<string> _unused;
        private readonly List<string> _known = [];

        public RuleOptions(string text, string name, string? argument, ReadOnlySpan<string> options)
        {
            (Text, Name, Argument) = (text, name, argument);
            _unused = [.. options];
        }

        public string Text { get; }

        public string Name { get; }

        public string? Argument { get; }

        public bool Flag(string name)
        {
            _known.Add(name);
            return _unused.Remove(name);
        }

        public long? Number(string name, long min, long max)
        {
            if (Take(name) is not { } value)
                return null;
            var hex = value.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
            var style = hex ? NumberStyles.AllowHexSpecifier : NumberStyles.AllowLeadingSign;
            var whole = long.TryParse(value.AsSpan(hex ? 2 : 0), style, CultureInfo.InvariantCulture, out var number);
            if (!whole || number < min || number > max)
                throw Refused(Text, $"{name}={value} is not a number from {min} to {max}",
                    $"write {name}={Math.Max(min, 0)}");
            return number;
        }

        /// <summary>The largest payload in bytes: <c>max=</c> or 1 MiB.</summary>
        public long Max()
        {
            if (Take("max") is not { } value)
                return FrameBytesMaxDefault;
            if (!TrySize(value, out var bytes))
                throw Refused(Text, $"max={value} is not a size", "write max=65536, max=64KiB or max=1MiB");
            return CheckedMax(Text, bytes);
        }

        /// <summary>
        /// Refuses options that no question was asked about, and an argument that the rule does not have.
        /// </summary>
        public void RefuseUnused()
        {
            if (Name is "raw" or "json" or "netstring" && Argument is not null)
                throw Refused(Text, $"{Name} takes nothing after a colon", $"write {Name}");
            if (_unused.Count == 0)
                return;
            var name = _unused[0].Split('=')[0];
            if (name is "le" or "be" && Name == "len")
                throw Refused(Text, "the byte order belongs to the size", $"write len:{Argument}{name}");
            throw Refused(Text, _known.Contains(name)
                    ? $"\"{_unused[0]}\" is given twice or has the wrong form"
                    : $"{Name} has no option \"{_unused[0]}\"",
                Nearest(name, _known) + $"options of {Name}: {string.Join(", ", _known)}");
        }

        private string? Take(string name)
        {
            _known.Add(name);
            var index = _unused.FindIndex(o => o.StartsWith(name + "=", StringComparison.Ordinal));
            if (index < 0)
                return null;
            var value = _unused[index][(name.Length + 1)..];
            _unused.RemoveAt(index);
            return value;
        }
    }

    /// <summary><c>did you mean X? </c> for a word at most two edits away, else nothing.</summary>
    private static string Nearest(string word, IEnumerable<string> known)
    {
        var best = known.Where(k => word.Length <= 20 && Math.Abs(k.Length - word.Length) <= 2)
            .Select(k => (Name: k, Edits: Edits(word, k))).OrderBy(k => k.Edits).FirstOrDefault();
        return best.Name is not null && best.Edits <= 2 ? $"did you mean {best.Name}? " : "";
    }

    private static int Edits(string a, string b)
    {
        var row = Enumerable.Range(0, b.Length + 1).ToArray();
        for (var i = 1; i <= a.Length; i++)
        {
            var diagonal = row[0]++;
            for (var j = 1; j <= b.Length; j++)
                (diagonal, row[j]) = (row[j],
                    Math.Min(Math.Min(row[j], row[j - 1]) + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)));
        }
        return row[^1];
    }

    /// <summary>Delimiters in text: hex, escapes or quoted.</summary>
    private static class DelimiterText
    {
        private const int BytesMax = 255;

        private const string Forms = @"write hex (delim:0D0A), escapes (delim:\r\n, delim:\0) or quoted text "
            + @"(delim:'END'); a comma is \x2C, a bar \x7C";

        public static byte[][] Read(string text, string? argument)
        {
            var delimiters = (argument ?? "").Split('|').Select(part => One(text, part)).ToArray();
            if (delimiters.Sum(d => d.Length) > BytesMax)
                throw Refused(text, $"the delimiters have more than {BytesMax} bytes together",
                    "use a length prefix: len:4");
            if (delimiters.Select(Convert.ToHexString).Distinct().Count() < delimiters.Length)
                throw Refused(text, "a delimiter is given twice", "leave one out");
            return delimiters;
        }

        private static byte[] One(string text, string part)
        {
            var bytes = part switch
            {
                ['\'', .. var quoted, '\''] => Unescaped(quoted),
                ['"', .. var quoted, '"'] => Unescaped(quoted),
                _ when part.Contains('\\', StringComparison.Ordinal) => Unescaped(part),
                _ when part.Length % 2 == 0 && part.All(char.IsAsciiHexDigit) => Convert.FromHexString(part),
                _ => null,
            };
            if (bytes is null)
                throw Refused(text, $"\"{part}\" is not a delimiter", Forms);
            return bytes.Length > 0
                ? bytes
                : throw Refused(text, "a delimiter is empty: every byte would end a frame", Forms);
        }

        private static byte[]? Unescaped(string text)
        {
            var bytes = new List<byte>();
            for (var i = 0; i < text.Length; i++)
            {
                if (text[i] != '\\')
                {
                    var rune = Rune.TryGetRuneAt(text, i, out var whole) ? whole : Rune.ReplacementChar;
                    bytes.AddRange(Encoding.UTF8.GetBytes(rune.ToString()));
                    i += rune.Utf16SequenceLength - 1;
                    continue;
                }
                var letter = ++i < text.Length ? text[i] : ' ';
                var simple = @"rnt0\'""".IndexOf(letter, StringComparison.Ordinal);
                if (simple >= 0)
                    bytes.Add((byte)"\r\n\t\0\\'\""[simple]);
                else if (letter == 'x' && i + 2 < text.Length
                    && byte.TryParse(text.AsSpan(i + 1, 2), NumberStyles.AllowHexSpecifier, null, out var value))
                {
                    bytes.Add(value);
                    i += 2;
                }
                else
                    return null;
            }
            return [.. bytes];
        }
    }
}
