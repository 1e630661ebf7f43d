using System.Buffers.Binary;
using System.Net;
using System.Text;
using Mortise.Transports.Kernel;

namespace Mortise.Transports.Linux;

/// <summary>What the kernel says of an address (<c>struct sockaddr</c>) as an endpoint.</summary>
internal static class SocketAddressText
{
    /// <summary>Room for every family: <c>sockaddr_un</c> is the longest.</summary>
    public const int BytesMax = 112;

    private const int V4Bytes = 16, V6Bytes = 28, PathOffset = 2;

    /// <summary>The endpoint; with an empty host for a Unix peer that never bound a name.</summary>
    public static Endpoint Read(EndpointKind kind, ReadOnlySpan<byte> address)
    {
        if (address.Length < PathOffset)
            return new Endpoint(kind, "", 0);
        var port = address.Length < V4Bytes ? 0 : BinaryPrimitives.ReadUInt16BigEndian(address[2..]);
        switch (BitConverter.ToUInt16(address))
        {
            case Libc.AfInet when address.Length >= V4Bytes:
                return new Endpoint(kind, address.Slice(4, 4), port);
            case Libc.AfInet6 when address.Length >= V6Bytes:
                var v6 = new IPAddress(address.Slice(8, 16), BitConverter.ToUInt32(address[24..]));
                return v6.IsIPv4MappedToIPv6
                    ? new Endpoint(kind, address.Slice(20, 4), port)
                    : Endpoint.From(kind, new IPEndPoint(v6, port));
            case Libc.AfUnix:
                return new Endpoint(kind, PathText(address[PathOffset..]), 0);
            default:
                return new Endpoint(kind, "", 0);
        }
    }

    /// <summary>Where a socket of this process is bound.</summary>
    public static unsafe Endpoint OfSocket(EndpointKind kind, int fd)
    {
        var address = stackalloc byte[BytesMax];
        var bytes = (uint)BytesMax;
        return Libc.GetSocketName(fd, address, &bytes) == 0
            ? Read(kind, new ReadOnlySpan<byte>(address, (int)Math.Min(bytes, BytesMax)))
            : new Endpoint(kind, "", 0);
    }

    /// <summary>A path ends at NUL or with the structure; an abstract name begins with NUL and may hold more.</summary>
    private static string PathText(ReadOnlySpan<byte> path)
    {
        if (path.IsEmpty)
            return "";
        if (path[0] == 0)
            return path.Length == 1 ? "" : "@" + Encoding.UTF8.GetString(path[1..]);
        var end = path.IndexOf((byte)0);
        return Encoding.UTF8.GetString(end < 0 ? path : path[..end]);
    }
}
