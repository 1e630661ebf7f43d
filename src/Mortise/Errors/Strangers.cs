using System.Text;

namespace Mortise.Errors;

/// <summary>Peers that speak something else, known by the bytes they begin with.</summary>
internal static class Strangers
{
    /// <summary>Bytes that are enough to know any of them.</summary>
    public const int BytesMax = 16;

    public const string ProxyHeader = "a PROXY protocol header";

    private const string HttpClient = "an HTTP client";

    private static readonly (byte[] Start, string Who)[] Known =
    [
        ("GET "u8.ToArray(), HttpClient), ("POST "u8.ToArray(), HttpClient), ("PUT "u8.ToArray(), HttpClient),
        ("HEAD "u8.ToArray(), HttpClient), ("DELETE "u8.ToArray(), HttpClient), ("PATCH "u8.ToArray(), HttpClient),
        ("OPTIONS "u8.ToArray(), HttpClient), ("CONNECT "u8.ToArray(), HttpClient),
        ("PRI * HTTP/2"u8.ToArray(), "an HTTP/2 client"), ("HTTP/1."u8.ToArray(), "an HTTP server's answer"),
        ("SSH-"u8.ToArray(), "SSH"), ("PROXY "u8.ToArray(), ProxyHeader),
        ([0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51], ProxyHeader),
    ];

    /// <summary>Who begins like this, and how much of it tells so; null where nobody known does.</summary>
    public static (string Who, int Bytes)? Find(ReadOnlySpan<byte> first)
    {
        foreach (var (start, who) in Known)
        {
            var seen = Math.Min(start.Length, first.Length);
            if (seen >= 3 && first[..seen].SequenceEqual(start.AsSpan(0, seen)))
                return (who, seen);
        }

        return null;
    }

    /// <summary><c>"GET "</c> where every byte is printable, else <c>FF D8 …</c>.</summary>
    public static string Quoted(ReadOnlySpan<byte> bytes)
    {
        foreach (var b in bytes)
            if (b is < 0x20 or > 0x7E)
                return string.Join(' ', Convert.ToHexString(bytes).Chunk(2).Select(pair => new string(pair)));
        return $"\"{Encoding.ASCII.GetString(bytes)}\"";
    }
}
