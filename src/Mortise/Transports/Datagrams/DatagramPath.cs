using System.Text;

namespace Mortise.Transports.Datagrams;

/// <summary>
/// Where a datagram came from and to which of our addresses, kept as the kernel wrote it, so that the way back costs no
/// conversion.
/// </summary>
internal sealed class DatagramPath(Endpoint peer, Endpoint local, ReadOnlySpan<byte> name, ReadOnlySpan<byte> control)
{
    /// <summary>Room for the name of a Unix socket and the longest address.</summary>
    public const int KeyBytesMax = 256;

    private readonly byte[] _name = name.ToArray(), _control = control.ToArray();

    public Endpoint Peer => peer;

    public Endpoint Local => local;

    /// <summary>As <c>recvmsg(2)</c> gave it; empty where the system's own calls received it.</summary>
    public ReadOnlySpan<byte> Name => _name;

    /// <summary>The control message that sends from <see cref="Local"/>.</summary>
    public ReadOnlySpan<byte> Control => _control;

    /// <summary>Bytes that no other pair of ends has; their number.</summary>
    public static int WriteKey(ReadOnlySpan<byte> name, ReadOnlySpan<byte> local, Span<byte> key)
    {
        name.CopyTo(key);
        local.CopyTo(key[name.Length..]);
        return name.Length + local.Length;
    }

    /// <summary>The same where the ends are known as endpoints only.</summary>
    public static int WriteKey(Endpoint peer, Endpoint? local, Span<byte> key) =>
        Encoding.UTF8.GetBytes($"{peer.Authority} {local?.Authority}", key);
}
