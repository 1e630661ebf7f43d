using System.CommandLine;
using System.Globalization;

namespace Mortise.Cli.Lookup;

/// <summary>
/// `mortise bytes N`: how a number lies in memory here and on the network, and what a forgotten htons does.
/// </summary>
internal static class BytesVerb
{
    public static Command Build()
    {
        var numbers = new Argument<string[]>("N")
        {
            Description = "decimal or 0x hexadecimal",
            Arity = ArgumentArity.OneOrMore,
        };
        var u16 = new Option<bool>("--u16") { Description = "16 bits, as a port (the default where it fits)" };
        var u32 = new Option<bool>("--u32") { Description = "32 bits, as an IPv4 address" };
        var u64 = new Option<bool>("--u64") { Description = "64 bits" };
        var command = new Command("bytes", "A number in host and network byte order: mortise bytes 9003 --u16")
        {
            numbers, u16, u32, u64,
        };
        command.SetAction(parsed =>
        {
            var bits = parsed.GetValue(u16) ? 16 : parsed.GetValue(u32) ? 32 : parsed.GetValue(u64) ? 64 : 0;
            foreach (var text in parsed.GetValue(numbers)!)
                Console.WriteLine(Describe(text, bits));
            return 0;
        });
        return command;
    }

    private static ByteOrderView Describe(string text, int bits)
    {
        var hex = text.StartsWith("0x", StringComparison.OrdinalIgnoreCase);
        if (!ulong.TryParse(hex ? text[2..] : text, hex ? NumberStyles.HexNumber : NumberStyles.None,
                CultureInfo.InvariantCulture, out var value))
            throw new InvalidSettingException("bytes", text, "this is no whole number from 0 to 2^64-1",
                "write it in decimal or with 0x before it");
        if (bits == 0)
            bits = value <= ushort.MaxValue ? 16 : value <= uint.MaxValue ? 32 : 64;
        if (bits < 64 && value >> bits != 0)
            throw new InvalidSettingException("bytes", text, $"it does not fit {bits} bits",
                bits == 16 ? "a port is at most 65535; use --u32 or --u64" : "use --u64");
        return bits switch
        {
            16 => ByteOrder.Describe((ushort)value),
            32 => ByteOrder.Describe((uint)value),
            _ => ByteOrder.Describe(value),
        };
    }
}
