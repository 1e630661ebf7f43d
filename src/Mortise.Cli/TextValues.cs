using System.Globalization;
using System.Text;

namespace Mortise.Cli;

/// <summary>The values that flags carry: times, sizes, encodings, and text with escapes.</summary>
internal static class TextValues
{
    private static readonly (string Unit, double Factor)[] Times =
        [("us", 1e-6), ("ms", 1e-3), ("s", 1), ("m", 60), ("h", 3600)];

    private static readonly (string Unit, double Factor)[] Sizes =
    [
        ("KiB", 1024), ("MiB", 1024 * 1024), ("GiB", 1024 * 1024 * 1024), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9),
        ("K", 1024), ("M", 1024 * 1024), ("G", 1024 * 1024 * 1024), ("B", 1), ("", 1),
    ];

    /// <summary><c>500ms</c>, <c>10s</c>, <c>2m</c>, <c>1h</c>; <c>never</c> is for ever, <c>0</c> is none.</summary>
    /// <exception cref="InvalidSettingException">The text is no time.</exception>
    public static TimeSpan Time(string text, string? flag = null)
    {
        if (text is "never" or "off")
            return System.Threading.Timeout.InfiniteTimeSpan;
        if (text == "0")
            return TimeSpan.Zero;
        if (Number(text, Times) is { } seconds and < 1e9)
            return TimeSpan.FromSeconds(seconds);
        throw new InvalidSettingException("time", Of(flag, text), "this is no time",
            "write a number and a unit: 500ms, 10s, 2m, 1h; or never");
    }

    /// <summary><c>65536</c>, <c>64KiB</c>, <c>1MiB</c>; <c>64K</c> is KiB, <c>64KB</c> is 64,000.</summary>
    /// <exception cref="InvalidSettingException">The text is no size.</exception>
    public static long Size(string text, string? flag = null)
    {
        if (Number(text, Sizes) is { } bytes && bytes <= long.MaxValue / 2 && bytes == Math.Floor(bytes))
            return (long)bytes;
        throw new InvalidSettingException("size", Of(flag, text), "this is no size in bytes",
            "write whole bytes, or a number and a unit: 512, 64KiB, 1MiB");
    }

    /// <summary>A <see cref="Size"/> that a socket option can carry.</summary>
    /// <exception cref="InvalidSettingException">The text is no size, or 2 GiB and more.</exception>
    public static int Bytes32(string text, string? flag = null) => Size(text, flag) is var bytes and <= int.MaxValue
        ? (int)bytes
        : throw new InvalidSettingException("size", Of(flag, text), "the kernel takes less than 2 GiB here",
            "write a smaller number");

    /// <summary>An encoding by its usual name; UTF-8 for null.</summary>
    /// <exception cref="InvalidSettingException">There is no such encoding.</exception>
    public static Encoding Encoding(string? name)
    {
        if (name is null)
            return StandardOutput.Utf8;
        System.Text.Encoding.RegisterProvider(CodePagesEncodingProvider.Instance);
        try
        {
            return System.Text.Encoding.GetEncoding(name);
        }
        catch (ArgumentException)
        {
            throw new InvalidSettingException("encoding", name, "there is no encoding of that name",
                "for example gb18030, big5, shift_jis, euc-kr, windows-1251, latin1, utf-16le");
        }
    }

    /// <summary>Text with <c>\n \r \t \0 \\ \xNN</c> as bytes; another backslash stands for itself.</summary>
    public static byte[] Unescape(string text, Encoding? encoding = null)
    {
        using var bytes = new MemoryStream();
        var plain = new StringBuilder();
        void Flush()
        {
            bytes.Write((encoding ?? StandardOutput.Utf8).GetBytes(plain.ToString()));
            plain.Clear();
        }

        for (var i = 0; i < text.Length; i++)
        {
            if (text[i] != '\\' || Escaped(text.AsSpan(i + 1), out var used) is not { } value)
            {
                plain.Append(text[i]);
                continue;
            }

            Flush();
            bytes.WriteByte(value);
            i += used;
        }

        Flush();
        return bytes.ToArray();
    }

    private static byte? Escaped(ReadOnlySpan<char> rest, out int used)
    {
        used = 1;
        switch (rest)
        {
            case ['n', ..]: return (byte)'\n';
            case ['r', ..]: return (byte)'\r';
            case ['t', ..]: return (byte)'\t';
            case ['0', ..]: return 0;
            case ['\\', ..]: return (byte)'\\';
            case ['x', _, _, ..] when byte.TryParse(rest[1..3], NumberStyles.AllowHexSpecifier,
                CultureInfo.InvariantCulture, out var value):
                used = 3;
                return value;
            default: return null;
        }
    }

    /// <summary>Which of several flags it was.</summary>
    private static string Of(string? flag, string text) => flag is null ? text : $"{flag} {text}";

    private static double? Number(string text, (string Unit, double Factor)[] units)
    {
        foreach (var (unit, factor) in units)
        {
            if (text.EndsWith(unit, StringComparison.OrdinalIgnoreCase)
                && double.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint,
                    CultureInfo.InvariantCulture, out var number))
                return number * factor;
        }

        return null;
    }
}
