using System.Runtime.InteropServices;
using Message = Mortise.Transports.Kernel.DatagramCalls.Message;
using Part = Mortise.Transports.Kernel.DatagramCalls.Part;

namespace Mortise.Transports.Kernel;

/// <summary>
/// Memory for so many datagrams, which never moves, and the headers that name it to the kernel. A slot is where a
/// datagram lies; a place is its turn in the call. They differ where slots are left out.
/// </summary>
internal sealed unsafe class MessageVector
{
    /// <summary>sizeof(struct sockaddr_storage): the address of any family.</summary>
    public const int NameBytes = 128;

    private readonly Message[] _messages;
    private readonly Part[] _parts;
    private readonly byte[] _names, _controls, _payloads;
    private readonly int _payloadBytes;

    public MessageVector(int capacity, int payloadBytes)
    {
        _payloadBytes = payloadBytes;
        _messages = GC.AllocateArray<Message>(capacity, pinned: true);
        _parts = GC.AllocateArray<Part>(capacity, pinned: true);
        _names = GC.AllocateArray<byte>(capacity * NameBytes, pinned: true);
        _controls = GC.AllocateArray<byte>(capacity * PacketInfo.RoomBytes, pinned: true);
        // Not cleared: pages that no datagram reaches then cost no memory.
        _payloads = GC.AllocateUninitializedArray<byte>(checked(capacity * payloadBytes), pinned: true);
    }

    public Memory<byte> Payload(int slot) =>
        MemoryMarshal.CreateFromPinnedArray(_payloads, slot * _payloadBytes, _payloadBytes);

    public Span<byte> Name(int slot) => _names.AsSpan(slot * NameBytes, NameBytes);

    public Span<byte> Control(int slot) => _controls.AsSpan(slot * PacketInfo.RoomBytes, PacketInfo.RoomBytes);

    /// <summary>Gives a place of the next call to a slot; lengths are room to receive, or what is sent.</summary>
    public void Describe(int place, int slot, int nameLength, int controlLength, int payloadLength)
    {
        ref var part = ref _parts[place];
        part.Start = Address(_payloads, slot * _payloadBytes);
        part.Length = (nuint)payloadLength;
        ref var header = ref _messages[place].Header;
        header.Name = nameLength == 0 ? null : Address(_names, slot * NameBytes);
        header.NameLength = (uint)nameLength;
        header.Parts = (Part*)Marshal.UnsafeAddrOfPinnedArrayElement(_parts, place);
        header.PartCount = 1;
        header.Control = controlLength == 0 ? null : Address(_controls, slot * PacketInfo.RoomBytes);
        header.ControlLength = (nuint)controlLength;
    }

    /// <summary>What the kernel said of a datagram received.</summary>
    public (int NameLength, int ControlLength, int PayloadLength, bool Truncated) Received(int place)
    {
        ref var message = ref _messages[place];
        var truncated = (message.Header.Flags & DatagramCalls.Truncated) != 0;
        return ((int)message.Header.NameLength, (int)message.Header.ControlLength, (int)message.Length, truncated);
    }

    /// <summary>Receives into the first places without waiting: how many, or the negative errno.</summary>
    public int Receive(SafeHandle socket, int count) =>
        Outcome(DatagramCalls.Receive(socket, Start(0), (uint)count, DatagramCalls.DontWait, null));

    /// <summary>Sends from these places on without waiting: how many, or the negative errno of the first.</summary>
    public int Send(SafeHandle socket, int first, int count) => Outcome(DatagramCalls.Send(socket, Start(first),
        (uint)count, DatagramCalls.DontWait | DatagramCalls.NoSignal));

    private static int Outcome(int result) => result >= 0 ? result : -Marshal.GetLastPInvokeError();

    private static byte* Address(byte[] pinned, int offset) =>
        (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(pinned, offset);

    private Message* Start(int place) => (Message*)Marshal.UnsafeAddrOfPinnedArrayElement(_messages, place);
}
