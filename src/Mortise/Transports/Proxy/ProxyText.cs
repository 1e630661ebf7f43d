using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mortise.Transports.Proxy;

/// <summary>
/// Version 1, section 2.1 of the specification: <c>PROXY TCP4 192.0.2.1 192.0.2.2 51000 443\r\n</c>.
/// </summary>
internal static class ProxyText
{
    /// <summary>The longest line with its CRLF.</summary>
    public const int LineBytesMax = 107;

    private const string Unknown = "PROXY UNKNOWN";

    public static ReadOnlySpan<byte> Start => "PROXY "u8;

    /// <summary>
    /// The line in <paramref name="start"/>, which has all that has come or <see cref="LineBytesMax"/>.
    /// </summary>
    public static bool TryRead(ReadOnlySpan<byte> start, [NotNullWhen(true)] out ProxyHeader? header, out int length)
    {
        header = null;
        length = start.IndexOf("\r\n"u8) + 2;
        if (length < 2)
        {
            length = 0;
            if (start.Length == LineBytesMax)
                throw ProxyReader.Malformed($"no CRLF in its first {LineBytesMax} bytes");
            // What an UNKNOWN line says more is not looked at; elsewhere half of a CRLF never becomes a whole one.
            var rest = start is [.., (byte)'\r'] ? start[..^1] : start;
            if (!start.StartsWith("PROXY UNKNOWN "u8) && rest.ContainsAny((byte)'\r', (byte)'\n'))
                throw ProxyReader.Malformed("its line ends with a single CR or LF");
            return false;
        }

        var line = Encoding.Latin1.GetString(start[..(length - 2)]);
        header = line == Unknown || line.StartsWith(Unknown + " ", StringComparison.Ordinal)
            ? new ProxyHeader(1, isLocal: false)
            : Read(line);
        return true;
    }

    public static byte[] Write(ProxyHeader header)
    {
        var (source, destination) = (header.Source!, header.Destination!);
        var family = source.Address!.AddressFamily == AddressFamily.InterNetwork ? "TCP4" : "TCP6";
        return Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture,
            $"PROXY {family} {source.Host} {destination.Host} {source.Port} {destination.Port}\r\n"));
    }

    private static ProxyHeader Read(string line)
    {
        var fields = line.Split(' ');
        var family = fields[1] switch
        {
            "TCP4" => AddressFamily.InterNetwork,
            "TCP6" => AddressFamily.InterNetworkV6,
            _ => throw ProxyReader.Malformed("its family is none of TCP4, TCP6 and UNKNOWN"),
        };
        if (fields.Length != 6)
            throw ProxyReader.Malformed(
                $"{fields.Length - 2} fields after {fields[1]}, and there are 4, with one space before each");
        return new ProxyHeader(1, isLocal: false)
        {
            Source = Read(family, fields[2], fields[4], "source"),
            Destination = Read(family, fields[3], fields[5], "destination"),
        };
    }

    private static Endpoint Read(AddressFamily family, string address, string port, string which)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (AddressText.TryParse(family, address, bytes) != ParseOutcome.Ok)
            throw ProxyReader.Malformed($"its {which} is no address of the family that it names");
        if (port.Length is 0 or > 5 || port.ContainsAnyExceptInRange('0', '9') || port is ['0', _, ..]
            || int.Parse(port, CultureInfo.InvariantCulture) is var number && number > 65535)
            throw ProxyReader.Malformed($"its {which} port is not 0 to 65535 in plain decimal digits");
        return Endpoint.From(EndpointKind.Tcp,
            new IPEndPoint(new IPAddress(bytes[..(family == AddressFamily.InterNetwork ? 4 : 16)]), number));
    }
}
