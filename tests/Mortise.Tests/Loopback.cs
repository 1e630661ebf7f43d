using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Tests;

/// <summary>
/// Loopback addresses of which each is used by one test only. On 127.0.0.1 every port of the ephemeral range may become
/// the local port of somebody's connect at any moment, so "free a moment ago" is no promise there.
/// </summary>
internal static class Loopback
{
    private static int s_taken;

    /// <summary>An address of 127.128.0.0/9: this process's 254, one after the other.</summary>
    public static IPAddress Own()
    {
        var process = Environment.ProcessId;
        var one = Interlocked.Increment(ref s_taken) % 254 + 1;
        return new IPAddress([127, (byte)(128 | process >> 8), (byte)process, (byte)one]);
    }

    /// <summary>A port of an own address, for who must be told where to bind.</summary>
    public static Endpoint FreeEndpoint()
    {
        using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        probe.Bind(new IPEndPoint(Own(), 0));
        return Endpoint.From(EndpointKind.Tcp, probe.LocalEndPoint!);
    }

    /// <summary>
    /// The rows of /proc/net/tcp (proc(5)) in columns: 1 local end, 2 remote end, 3 state, 6 repeats. Only both ends
    /// together name a connection: a local port alone is shared by sockets of other addresses and other peers.
    /// </summary>
    public static IEnumerable<string[]> TcpRows() => File.ReadLines("/proc/net/tcp").Skip(1)
        .Select(row => row.Split(' ', StringSplitOptions.RemoveEmptyEntries));

    /// <summary>127.0.0.1 and this port, as the kernel prints it there.</summary>
    public static string TcpEnd(int port) => "0100007F:" + port.ToString("X4", CultureInfo.InvariantCulture);
}
