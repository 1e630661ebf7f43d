using System.Net.Sockets;

namespace Mortise;

/// <summary>A TCP connection as the kernel sees it.</summary>
/// <param name="State">The state's name, e.g. <c>ESTABLISHED</c>, <c>CLOSE-WAIT</c> (RFC 9293).</param>
/// <param name="RoundTrip">Smoothed round-trip time.</param>
/// <param name="Retransmits">Unanswered retransmissions of the segment now in flight.</param>
/// <param name="TotalRetransmits">All retransmitted segments so far.</param>
/// <param name="Unacked">Segments sent and not acknowledged; on a listener the accept queue's length.</param>
/// <param name="BytesAcked">Bytes the peer's kernel has acknowledged: received there, not yet read by its
/// program.</param>
/// <param name="BytesReceived">Bytes received in order.</param>
public readonly record struct TcpInfo(string State, TimeSpan RoundTrip, int Retransmits, int TotalRetransmits,
    int Unacked, long BytesAcked, long BytesReceived)
{
    private const int IpProtoTcp = 6, Option = 11;   // TCP_INFO

    private static readonly string[] States =
    [
        "UNKNOWN", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED",
        "CLOSE-WAIT", "LAST-ACK", "LISTEN", "CLOSING",
    ];

    /// <summary>
    /// Reads struct tcp_info; the offsets are those of linux/tcp.h, which only ever grows at its end.
    /// </summary>
    internal static TcpInfo Read(Socket socket, string endpoint)
    {
        if (!OperatingSystem.IsLinux())
            throw new UnsupportedException("read TCP_INFO", endpoint, "only Linux has this socket option");
        Span<byte> info = stackalloc byte[256];
        info.Clear();
        socket.GetRawSocketOption(IpProtoTcp, Option, info);
        return new TcpInfo(
            States[info[0] < States.Length ? info[0] : 0],
            TimeSpan.FromMicroseconds(BitConverter.ToUInt32(info[68..])),
            info[2],
            BitConverter.ToInt32(info[100..]),
            BitConverter.ToInt32(info[24..]),
            BitConverter.ToInt64(info[120..]),
            BitConverter.ToInt64(info[128..]));
    }
}

/// <summary>The process at the other end of a Unix socket, as it was when it connected or listened.</summary>
/// <param name="ProcessId">Its process id.</param>
/// <param name="UserId">Its user id.</param>
/// <param name="GroupId">Its group id.</param>
public readonly record struct PeerCredentials(int ProcessId, int UserId, int GroupId)
{
    private const int SolSocket = 1, SoPeerCred = 17;

    internal static PeerCredentials Read(Socket? socket, string endpoint)
    {
        if (!OperatingSystem.IsLinux() || socket is not { AddressFamily: AddressFamily.Unix })
            throw new UnsupportedException("read SO_PEERCRED", endpoint, "only Unix sockets on Linux know their peer");
        Span<byte> credentials = stackalloc byte[12];
        socket.GetRawSocketOption(SolSocket, SoPeerCred, credentials);
        return new PeerCredentials(BitConverter.ToInt32(credentials), BitConverter.ToInt32(credentials[4..]),
            BitConverter.ToInt32(credentials[8..]));
    }
}
