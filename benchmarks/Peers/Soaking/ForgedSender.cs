using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace Mortise.Peers.Soaking;

/// <summary>
/// Sends UDP with any sender's address of 127.0.0.0/8 on it: a raw socket that writes its own IP header (raw(7)).
/// </summary>
internal sealed class ForgedSender : IDisposable
{
    private const int IpBytes = 20, UdpBytes = 8;

    private readonly Socket _socket = new(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Udp);
    private readonly byte[] _packet = new byte[1500];
    private readonly IPEndPoint _target;
    private readonly Random _random;

    public ForgedSender(Endpoint target, int seed)
    {
        _target = new IPEndPoint(target.Address!, target.Port);
        _random = new Random(seed);
        _socket.SetSocketOption(SocketOptionLevel.IP, SocketOptionName.HeaderIncluded, true);
        (_packet[0], _packet[8], _packet[9]) = (0x45, 64, 17); // version 4, 5 words; hops; UDP
        _target.Address.TryWriteBytes(_packet.AsSpan(16), out _);
        BinaryPrimitives.WriteUInt16BigEndian(_packet.AsSpan(IpBytes + 2), (ushort)_target.Port);
    }

    /// <summary>Null where it can be done: it takes CAP_NET_RAW.</summary>
    public static string? WhyNot()
    {
        try
        {
            new Socket(AddressFamily.InterNetwork, SocketType.Raw, ProtocolType.Udp).Dispose();
            return null;
        }
        catch (SocketException e)
        {
            return e.Message;
        }
    }

    public void SendFromAnybody(ReadOnlySpan<byte> payload) =>
        Send(0x7F000000u | (uint)_random.Next(2 << 16, 1 << 24), _random.Next(1024, 65_536), payload);

    public void Send(Endpoint sender, ReadOnlySpan<byte> payload) => Send(
        BinaryPrimitives.ReadUInt32BigEndian(sender.Address!.GetAddressBytes()), sender.Port, payload);

    public void Dispose() => _socket.Dispose();

    private void Send(uint address, int port, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteUInt32BigEndian(_packet.AsSpan(12), address);
        BinaryPrimitives.WriteUInt16BigEndian(_packet.AsSpan(IpBytes), (ushort)port);
        BinaryPrimitives.WriteUInt16BigEndian(_packet.AsSpan(IpBytes + 4), (ushort)(UdpBytes + payload.Length));
        payload.CopyTo(_packet.AsSpan(IpBytes + UdpBytes)); // without a checksum, which IPv4 allows
        _socket.SendTo(_packet.AsSpan(0, IpBytes + UdpBytes + payload.Length), _target);
    }
}
