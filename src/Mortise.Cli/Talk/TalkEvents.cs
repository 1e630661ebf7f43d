using System.Text;
using System.Text.Unicode;

namespace Mortise.Cli.Talk;

/// <summary>The NDJSON events of a client's connection.</summary>
internal static class TalkEvents
{
    public static void Connected(Connection connection, TimeSpan took) => JsonLine.Write("connected", json =>
    {
        json.WriteNumber("id", connection.Id);
        json.WriteString("local", connection.LocalEndpoint.Authority);
        json.WriteString("remote", connection.RemoteEndpoint.Authority);
        if (connection.Tls is { } tls)
            json.WriteString("tls", tls.ToString());
        json.WriteNumber("ms", Math.Round(took.TotalMilliseconds, 2));
    });

    /// <summary>Bytes received or sent: text where they are UTF-8, else hexadecimal.</summary>
    public static void Moved(string what, long id, ReadOnlySpan<byte> bytes, bool whole)
    {
        var length = bytes.Length;
        var (name, value) = Utf8.IsValid(bytes)
            ? ("text", Encoding.UTF8.GetString(bytes))
            : ("hex", Convert.ToHexStringLower(bytes));
        JsonLine.Write(what, json =>
        {
            json.WriteNumber("id", id);
            json.WriteNumber("bytes", length);
            if (whole)
            {
                json.WriteStartObject("frame");
                json.WriteNumber("len", length);
            }

            json.WriteString(name, value);
            if (whole)
                json.WriteEndObject();
        });
    }

    public static void Closed(Connection connection) => JsonLine.Write("closed", json =>
    {
        json.WriteNumber("id", connection.Id);
        json.WriteString("reason", (connection.CloseReason ?? CloseReason.Eof).Name());
        json.WriteNumber("rx", connection.BytesReceived);
        json.WriteNumber("tx", connection.BytesSent);
    });
}
