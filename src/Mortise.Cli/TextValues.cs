using System.CommandLine;
using System.Globalization;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
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

    /// <summary>What clients of <c>--tls dev</c> need to trust it.</summary>
    public static string DevelopmentFile => Path.Combine(Environment.GetFolderPath(
        Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.DoNotVerify), "mortise",
        "dev-cert.pem");

    /// <summary><c>dev</c>, <c>CERT</c>, <c>CERT,KEY</c> in PEM, or a PKCS #12 file; a password stands in
    /// MORTISE_TLS_PASSWORD, where no list of processes shows it.</summary>
    /// <exception cref="InvalidSettingException">A file cannot be used.</exception>
    public static TlsCertificate Certificate(string text)
    {
        var password = Environment.GetEnvironmentVariable("MORTISE_TLS_PASSWORD");
        var files = text.Split(',', 2);
        return text == "dev" ? TlsCertificate.Development()
            : files.Length == 1 && Path.GetExtension(text) is ".pfx" or ".p12" ? TlsCertificate.FromPfx(text, password)
            : TlsCertificate.FromPem(files[0], files.Length == 2 ? files[1] : null, password);
    }

    /// <exception cref="InvalidSettingException">There is no PEM certificate in the file.</exception>
    public static X509Certificate2Collection Authorities(string file)
    {
        var all = new X509Certificate2Collection();
        try
        {
            all.ImportFromPemFile(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or CryptographicException)
        {
            throw new InvalidSettingException("certificate", file, e.Message.TrimEnd('.'), "is the path right?");
        }

        return all.Count > 0 ? all : throw new InvalidSettingException("certificate", file,
            "there is no PEM certificate in it", "it begins with -----BEGIN CERTIFICATE-----");
    }

    public static Option<string?> KeyLog() => new("--key-log")
    {
        Description = "append the keys of all TLS connections to this file, for Wireshark (NSS key log format)",
        HelpName = "F",
    };

    /// <summary>.NET writes the keys itself, once it is told so before the first TLS of the process.</summary>
    /// <exception cref="InvalidSettingException">The file cannot be written.</exception>
    public static void LogKeys(string? file)
    {
        if (file is null)
            return;
        try
        {
            var options = new FileStreamOptions { Mode = FileMode.OpenOrCreate, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            new FileStream(file, options).Dispose();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidSettingException("key log", file, e.Message.TrimEnd('.'),
                "name a file that can be written");
        }

        AppContext.SetSwitch("System.Net.EnableSslKeyLogging", true);
        Environment.SetEnvironmentVariable("SSLKEYLOGFILE", Path.GetFullPath(file));
        Console.Error.WriteLine(
            $"warning: --key-log: who reads {TerminalText.Escape(file)} can read these connections");
    }

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
