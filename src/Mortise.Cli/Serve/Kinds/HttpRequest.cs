using System.Buffers;
using System.Globalization;
using System.Text;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>
/// Just enough HTTP/1.1 for one answer per connection: the request's head is read whole before anything is answered,
/// in whatever pieces it comes. It is no HTTP server; bodies are left to the close, which reads and drops them.
/// </summary>
/// <param name="Method">GET, HEAD, … or empty where the request was refused.</param>
/// <param name="Target">The path as it was sent.</param>
/// <param name="Refusal">The status of a request that cannot be answered, or null.</param>
internal sealed record HttpRequest(string Method, string Target, string? Refusal)
{
    public const string PlainText = "text/plain; charset=utf-8";
    private const int HeadBytesMax = 32 * 1024;

    /// <summary>Reads one head; null when the peer left without a byte.</summary>
    public static async ValueTask<HttpRequest?> ReadAsync(Connection connection)
    {
        var looked = 0L;
        while (true)
        {
            var read = await connection.Input.ReadAsync();
            var buffer = read.Buffer;
            if (EndOfHead(buffer, looked) is { } end)
            {
                var request = Parse(Encoding.Latin1.GetString(buffer.Slice(0, end)));
                connection.Input.AdvanceTo(buffer.GetPosition(end));
                return request;
            }

            // A TLS client, say, waits for an answer before it sends more.
            if (!buffer.IsEmpty && buffer.FirstSpan[0] is not (>= (byte)'!' and <= (byte)'~' or 13 or 10))
            {
                connection.Input.AdvanceTo(buffer.End);
                return Refused("400 Bad Request");
            }

            looked = Math.Max(0, buffer.Length - 3);
            if (buffer.Length > HeadBytesMax || read.IsCompleted)
            {
                connection.Input.AdvanceTo(buffer.End);
                return buffer.IsEmpty ? null : Refused(read.IsCompleted && buffer.Length <= HeadBytesMax
                    ? "400 Bad Request" : "431 Request Header Fields Too Large");
            }

            connection.Input.AdvanceTo(buffer.Start, buffer.End);
        }
    }

    /// <summary>Sends a whole response; HEAD gets the same head and no body.</summary>
    public ValueTask AnswerAsync(Connection connection, string status, string contentType, byte[] body)
    {
        var allow = status.StartsWith("405", StringComparison.Ordinal) ? "Allow: GET, HEAD\r\n" : "";
        var head = string.Create(CultureInfo.InvariantCulture, $"""
            HTTP/1.1 {status}
            Date: {DateTimeOffset.UtcNow:R}
            Content-Type: {contentType}
            Content-Length: {body.Length}
            {allow}Connection: close


            """).ReplaceLineEndings("\r\n");
        byte[] bytes = [.. Encoding.ASCII.GetBytes(head), .. Method == "HEAD" ? [] : body];
        return connection.SendAsync(bytes);
    }

    private static HttpRequest Refused(string status) => new("", "", status);

    /// <summary>A request line and header lines; what a strict reader must refuse is refused (RFC 9112).</summary>
    private static HttpRequest Parse(string head)
    {
        var lines = head.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        var parts = lines[0].Split(' ');
        if (parts is not [var method, var target, var version] || !IsToken(method) || target.Length == 0
            || target.Any(char.IsControl) || !version.StartsWith("HTTP/", StringComparison.Ordinal))
            return Refused("400 Bad Request");
        if (version is not ("HTTP/1.1" or "HTTP/1.0"))
            return Refused("505 HTTP Version Not Supported");
        foreach (var line in lines.Skip(1))
            if (line.IndexOf(':') is var colon && (colon <= 0 || !IsToken(line[..colon])))
                return Refused("400 Bad Request");
        return new HttpRequest(method, target, method is "GET" or "HEAD" ? null : "405 Method Not Allowed");
    }

    private static bool IsToken(string text) =>
        text.Length > 0 && text.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c));

    /// <summary>The length up to and with the blank line, or null.</summary>
    private static long? EndOfHead(in ReadOnlySequence<byte> buffer, long from)
    {
        var reader = new SequenceReader<byte>(buffer);
        reader.Advance(from);
        while (reader.TryAdvanceTo((byte)'\n'))
        {
            if (reader.IsNext((byte)'\n'))
                return reader.Consumed + 1;
            if (reader.IsNext("\r\n"u8))
                return reader.Consumed + 2;
        }

        return null;
    }
}
