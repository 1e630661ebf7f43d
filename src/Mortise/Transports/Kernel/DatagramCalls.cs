using System.Runtime.InteropServices;

namespace Mortise.Transports.Kernel;

/// <summary>recvmmsg(2) and sendmmsg(2): many datagrams in one call. Linux only.</summary>
internal static unsafe partial class DatagramCalls
{
    /// <summary>What one call takes at most (UIO_MAXIOV); the kernel leaves out the rest in silence.</summary>
    public const int MessagesMax = 1024;

    public const int DontWait = 0x40;    // MSG_DONTWAIT
    public const int Truncated = 0x20;   // MSG_TRUNC
    public const int NoSignal = 0x4000;  // MSG_NOSIGNAL

    /// <summary>How many came, or -1 and errno.</summary>
    [LibraryImport("libc", EntryPoint = "recvmmsg", SetLastError = true)]
    public static partial int Receive(SafeHandle socket, Message* messages, uint count, int flags, void* timeout);

    /// <summary>Stops at the first that cannot go: how many went, or -1 and errno where it was the first.</summary>
    [LibraryImport("libc", EntryPoint = "sendmmsg", SetLastError = true)]
    public static partial int Send(SafeHandle socket, Message* messages, uint count, int flags);

    /// <summary>struct mmsghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Message
    {
        public Header Header;
        public uint Length;
    }

    /// <summary>struct msghdr; Flags say after a receive whether something was cut.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Header
    {
        public byte* Name;
        public uint NameLength;
        public Part* Parts;
        public nuint PartCount;
        public byte* Control;
        public nuint ControlLength;
        public int Flags;
    }

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    public struct Part
    {
        public byte* Start;
        public nuint Length;
    }
}
