using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Unicode;

namespace Mortise.Cli;

/// <summary>The NDJSON of <c>--json</c>: one object to a line, <c>"v":1</c> and <c>"ev"</c> first.</summary>
internal static class JsonLine
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.Create(Readable()) };

    /// <summary>Writes one event to standard output; <paramref name="fill"/> adds its fields.</summary>
    public static void Write(string ev, Action<Utf8JsonWriter>? fill = null) => Console.WriteLine(Text(ev, fill));

    /// <summary>The line without its end.</summary>
    public static string Text(string ev, Action<Utf8JsonWriter>? fill = null)
    {
        using var bytes = new MemoryStream();
        using (var json = new Utf8JsonWriter(bytes, Options))
        {
            json.WriteStartObject();
            json.WriteNumber("v", 1);
            json.WriteString("ev", ev);
            fill?.Invoke(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.GetBuffer(), 0, (int)bytes.Length);
    }

    /// <summary>Letters of every script as they are; controls, bidi and other format characters stay escaped.</summary>
    private static TextEncoderSettings Readable()
    {
        var settings = new TextEncoderSettings(UnicodeRanges.All);
        for (var c = char.MinValue; c < char.MaxValue; c++)
        {
            if (char.GetUnicodeCategory(c) is System.Globalization.UnicodeCategory.Format)
                settings.ForbidCharacter(c);
        }

        return settings;
    }
}
