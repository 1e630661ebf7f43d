using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Mortise;

/// <content>The text of rules: what the API, the configuration and the command line have in common.</content>
public abstract partial class Framing
{
    private static readonly string[] RuleNames =
        ["raw", "line", "delim", "fixed", "len", "varint", "asn1", "netstring", "json"];

    /// <summary>Names for rules that others defined; each is right in both directions.</summary>
    private static readonly Dictionary<string, string> PresetRules = new(StringComparer.Ordinal)
    {
        ["ftp"] = "line:crlf",
        ["game-seed"] = "fixed:1024,pad=0",
        ["grpc"] = "len:4,off=1",
        ["mqtt"] = "varint,off=1",
        ["pomelo"] = "len:3,off=1",
        ["protobuf"] = "varint",
        ["skynet"] = "len:2",
        ["workerman"] = "len:4,incl",
    };

    /// <summary>The preset names and the rules they stand for, for help texts.</summary>
    public static IReadOnlyDictionary<string, string> Presets => PresetRules;

    /// <summary>Reads the text of a rule.</summary>
    /// <remarks>
    /// <list type="table">
    /// <item><term><c>raw</c></term><description>whatever has arrived is one frame</description></item>
    /// <item><term><c>line[:crlf][,keep]</c></term><description>ends with <c>\n</c> or <c>\r\n</c>, which is taken
    /// off; <c>\n</c> is written, or <c>\r\n</c> with <c>:crlf</c></description></item>
    /// <item><term><c>delim:BYTES[|BYTES…][,keep]</c></term><description>ends with one of the byte strings, each as
    /// hex (<c>0D0A</c>), escapes (<c>\r\n</c>, <c>\0</c>, <c>\x1E</c>) or quoted text (<c>'END'</c>); the first is
    /// written; <c>keep</c> leaves it in the payload</description></item>
    /// <item><term><c>fixed:N[,pad=B]</c></term><description>blocks of N bytes; with <c>pad</c> shorter payloads are
    /// filled with the byte B, which is taken off again</description></item>
    /// <item><term><c>len:N[be|le]</c></term><description>a length field of 1 to 8 bytes, big-endian by default.
    /// <c>off=</c> bytes stand before it (0 to 255); <c>adj=</c> is added to its value to get the bytes after it;
    /// <c>incl</c> = it counts the header too; <c>strip=</c> header bytes are not delivered (default: the header when
    /// it is only the field, else 0)</description></item>
    /// <item><term><c>varint</c>, <c>asn1</c></term><description>a length in protobuf varint or BER definite form, with
    /// <c>off=</c>, <c>adj=</c> and <c>strip=0</c> as above</description></item>
    /// <item><term><c>netstring</c>, <c>json</c></term><description><c>5:hello,</c>; one JSON value per frame, nested
    /// at most 64 deep</description></item>
    /// </list>
    /// Every rule but <c>fixed</c> takes <c>max=SIZE</c> (<c>65536</c>, <c>64KiB</c>, <c>1MiB</c>): the largest payload
    /// as it is delivered. <see cref="Presets"/> may stand for a rule: <c>mqtt,max=256KiB</c>.
    /// </remarks>
    /// <exception cref="InvalidSettingException">
    /// The rule cannot work; the message says why and how to mend it.
    /// </exception>
    public static Framing Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var parts = text.Trim().Split(',');
        if (PresetRules.TryGetValue(parts[0], out var preset))
            parts = [.. preset.Split(','), .. parts[1..]];
        var colon = parts[0].IndexOf(':', StringComparison.Ordinal);
        var name = colon < 0 ? parts[0] : parts[0][..colon];
        var argument = colon < 0 ? null : parts[0][(colon + 1)..];
        var options = new RuleOptions(text, name, argument, parts.AsSpan(1));
        Framing rule = name switch
        {
            "raw" => new RawRule(options.Max()),
            "line" => LineFrom(options),
            "delim" => DelimiterFrom(options),
            "fixed" => FixedFrom(options),
            "len" => LengthFrom(options, FieldFrom(options)),
            "varint" => LengthFrom(options, new LengthField(LengthCoding.Varint, LengthField.SizeMax)),
            "asn1" => LengthFrom(options, new LengthField(LengthCoding.Asn1, 9)),
            "netstring" => new NetstringRule(options.Max()),
            "json" => new JsonRule(options.Max()),
            _ => throw Refused(text, $"there is no rule \"{name}\"",
                Nearest(name, [.. RuleNames, .. PresetRules.Keys]) + $"rules: {string.Join(", ", RuleNames)}; "
                + $"presets: {string.Join(", ", PresetRules.Keys)}"),
        };
        options.RefuseUnused();
        return rule;
    }

    /// <summary>
    /// The same as <see cref="Parse"/> without an exception; <paramref name="error"/> has reason and mend.
    /// </summary>
    public static bool TryParse([NotNullWhen(true)] string? text, [NotNullWhen(true)] out Framing? framing,
        [NotNullWhen(false)] out string? error)
    {
        (framing, error) = (null, null);
        try
        {
            framing = Parse(text ?? "");
            return true;
        }
        catch (InvalidSettingException refused)
        {
            error = refused.Hint is null ? refused.Reason : $"{refused.Reason}; {refused.Hint}";
            return false;
        }
    }

    /// <summary><c>,max=N</c> where the rule has another maximum than the default.</summary>
    private string MaxText => FrameBytesMax == FrameBytesMaxDefault ? "" : $",max={FrameBytesMax}";

    private static DelimiterRule LineFrom(RuleOptions options)
    {
        byte[] lf = [(byte)'\n'], crlf = [(byte)'\r', (byte)'\n'];
        return options.Argument switch
        {
            null => new DelimiterRule("line", [lf, crlf], options.Flag("keep"), options.Max()),
            "crlf" => new DelimiterRule("line:crlf", [crlf, lf], options.Flag("keep"), options.Max()),
            _ => throw Refused(options.Text, $"line has no variant \"{options.Argument}\"",
                "write line (sends \\n) or line:crlf (sends \\r\\n); both read either"),
        };
    }

    private static DelimiterRule DelimiterFrom(RuleOptions options)
    {
        var delimiters = DelimiterText.Read(options.Text, options.Argument);
        var name = "delim:" + string.Join('|', delimiters.Select(Convert.ToHexString));
        return new DelimiterRule(name, delimiters, options.Flag("keep"), options.Max());
    }

    private static FixedRule FixedFrom(RuleOptions options)
    {
        if (!TrySize(options.Argument, out var size) || size < 1 || size > Array.MaxLength)
            throw Refused(options.Text, $"\"{options.Argument}\" is not a block size from 1 to {Array.MaxLength} bytes",
                "write fixed:1024");
        return new FixedRule(size, (int?)options.Number("pad", 0, 255));
    }

    private static LengthField FieldFrom(RuleOptions options)
    {
        var argument = options.Argument ?? "";
        var little = argument.EndsWith("le", StringComparison.Ordinal);
        var digits = little || argument.EndsWith("be", StringComparison.Ordinal) ? argument[..^2] : argument;
        if (digits is not [>= '1' and <= '8'])
            throw Refused(options.Text, $"\"{argument}\" is not the size of a length field",
                "write len:1 to len:8 (bytes), with le at the end for little-endian: len:4le");
        return new LengthField(little ? LengthCoding.LittleEndian : LengthCoding.BigEndian, digits[0] - '0');
    }

    private static LengthRule LengthFrom(RuleOptions options, LengthField field)
    {
        if (!options.Name.Equals("len", StringComparison.Ordinal) && options.Argument is not null)
            throw Refused(options.Text, $"{options.Name} takes nothing after a colon", $"write {options.Name}");
        var off = (int)(options.Number("off", 0, LengthRule.OffMax) ?? 0);
        var adj = options.Number("adj", int.MinValue, int.MaxValue) ?? 0;
        if (options.Flag("incl"))
            adj -= field.IsFixed
                ? off + field.Size
                : throw Refused(options.Text, "incl needs a length field of fixed size", "use adj= or a custom rule");
        var strip = (int?)options.Number("strip", 0, int.MaxValue);
        return new LengthRule(field, off, adj, strip, options.Max()).Possible();
    }

    private static long CheckedMax(string text, long frameBytesMax) =>
        frameBytesMax >= 1 && frameBytesMax <= Array.MaxLength
            ? frameBytesMax
            : throw Refused(text, $"a maximum of {frameBytesMax} bytes is not between 1 and {Array.MaxLength}",
                "leave it out for 1 MiB");

    private static InvalidSettingException Refused(string text, string reason, string mend) =>
        new("framing", text, reason, mend);

    /// <summary>Reads <c>4096</c>, <c>64KiB</c> or <c>1MiB</c>.</summary>
    private static bool TrySize(string? text, out long bytes)
    {
        var (digits, unit) = text switch
        {
            [.. var n, 'K', 'i', 'B'] => (n, 1024L),
            [.. var n, 'M', 'i', 'B'] => (n, 1024L * 1024),
            [.. var n, 'G', 'i', 'B'] => (n, 1024L * 1024 * 1024),
            _ => (text, 1L),
        };
        var whole = int.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var count);
        bytes = count * unit;
        return whole;
    }
}
