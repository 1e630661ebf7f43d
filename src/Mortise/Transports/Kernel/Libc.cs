using System.Runtime.InteropServices;

[assembly: System.Runtime.CompilerServices.DisableRuntimeMarshalling]

namespace Mortise.Transports.Kernel;

/// <summary>
/// The system calls of the Linux engine, as libc declares them: no logic, nothing marshalled. A call that fails returns
/// -1 and leaves its reason in <see cref="Errno"/>.
/// </summary>
internal static unsafe partial class Libc
{
    public const int AfUnix = 1, AfInet = 2, AfInet6 = 10;                                  // address_families(7)
    public const int SockStream = 1, SockCloexec = 0x80000, SockNonblock = 0x800;           // socket(2)
    public const int SolSocket = 1, SoError = 4, SoLinger = 13;                             // socket(7)
    public const int MsgDontWait = 0x40, MsgNoSignal = 0x4000;                              // send(2)
    public const int Eintr = 4, Eagain = 11, Einprogress = 115;                             // errno(3)
    public const int ShutWrite = 1;                                                         // shutdown(2)
    public const int EfdCloexec = 0x80000, EfdNonblock = 0x800;                             // eventfd(2)

    /// <summary>Reason of the last failure on this thread; read it before anything else runs.</summary>
    public static int Errno => Marshal.GetLastSystemError();

    [DllImport("libc", EntryPoint = "accept4", ExactSpelling = true)]
    public static extern int Accept4(int fd, void* address, uint* addressBytes, int flags);

    [DllImport("libc", EntryPoint = "connect", ExactSpelling = true)]
    public static extern int Connect(int fd, void* address, uint addressBytes);

    [DllImport("libc", EntryPoint = "recv", ExactSpelling = true)]
    public static extern nint Receive(int fd, byte* buffer, nint bytes, int flags);

    [DllImport("libc", EntryPoint = "send", ExactSpelling = true)]
    public static extern nint Send(int fd, byte* buffer, nint bytes, int flags);

    [DllImport("libc", EntryPoint = "sendmsg", ExactSpelling = true)]
    public static extern nint SendMessage(int fd, MessageHeader* message, int flags);

    [DllImport("libc", EntryPoint = "shutdown", ExactSpelling = true)]
    public static extern int Shutdown(int fd, int how);

    [DllImport("libc", EntryPoint = "close", ExactSpelling = true)]
    public static extern int Close(int fd);

    [DllImport("libc", EntryPoint = "getsockname", ExactSpelling = true)]
    public static extern int GetSocketName(int fd, void* address, uint* addressBytes);

    [DllImport("libc", EntryPoint = "getsockopt", ExactSpelling = true)]
    public static extern int GetSocketOption(int fd, int level, int name, void* value, uint* valueBytes);

    [DllImport("libc", EntryPoint = "setsockopt", ExactSpelling = true)]
    public static extern int SetSocketOption(int fd, int level, int name, void* value, uint valueBytes);

    [DllImport("libc", EntryPoint = "eventfd", ExactSpelling = true)]
    public static extern int EventFd(uint initial, int flags);

    [DllImport("libc", EntryPoint = "write", ExactSpelling = true)]
    public static extern nint Write(int fd, void* buffer, nint bytes);

    [DllImport("libc", EntryPoint = "read", ExactSpelling = true)]
    public static extern nint Read(int fd, void* buffer, nint bytes);

    [DllImport("libc", EntryPoint = "epoll_create1", ExactSpelling = true)]
    public static extern int EpollCreate(int flags);

    [DllImport("libc", EntryPoint = "epoll_ctl", ExactSpelling = true)]
    public static extern int EpollControl(int epoll, int operation, int fd, void* epollEvent);

    [DllImport("libc", EntryPoint = "epoll_wait", ExactSpelling = true)]
    public static extern int EpollWait(int epoll, void* events, int eventsMax, int timeoutMilliseconds);
}

/// <summary><c>struct iovec</c>, see <c>readv(2)</c>.</summary>
internal unsafe struct IoVector
{
    public byte* Address;
    public nint Bytes;
}

/// <summary><c>struct msghdr</c> of 64-bit Linux, see <c>recvmsg(2)</c>.</summary>
internal unsafe struct MessageHeader
{
    public void* Name;
    public uint NameBytes;
    public IoVector* Parts;
    public nint PartCount;
    public void* Control;
    public nint ControlBytes;
    public int Flags;
}

/// <summary><c>struct epoll_event</c>: packed on x64, where it has 12 bytes, and aligned elsewhere: 16.</summary>
internal readonly unsafe struct EpollEvent(uint events, ulong tag)
{
    public const int BytesMax = 16;

    private static readonly int TagOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;

    public static readonly int Bytes = TagOffset + sizeof(ulong);

    public uint Events => events;

    public ulong Tag => tag;

    public static EpollEvent Read(byte* from) => new(*(uint*)from, *(ulong*)(from + TagOffset));

    public void Write(byte* to)
    {
        *(uint*)to = events;
        *(ulong*)(to + TagOffset) = tag;
    }
}
