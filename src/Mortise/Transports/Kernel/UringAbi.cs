using System.Runtime.InteropServices;

namespace Mortise.Transports.Kernel;

/// <summary>
/// The kernel's side of io_uring, as <c>linux/io_uring.h</c> declares it: numbers, structures and the three system
/// calls. No logic. <see href="https://man7.org/linux/man-pages/man7/io_uring.7.html">io_uring(7)</see>.
/// </summary>
internal static unsafe partial class UringAbi
{
    // io_uring_setup(2)
    public const uint SetupCqSize = 1 << 3, SetupClamp = 1 << 4, SetupSubmitAll = 1 << 7, SetupTaskRunFlag = 1 << 9,
        SetupSingleIssuer = 1 << 12, SetupDeferTaskRun = 1 << 13, SetupNoSqArray = 1 << 16;
    public const uint FeatureSingleMmap = 1 << 0, FeatureNoDrop = 1 << 1;
    public const uint SqFlagCqOverflow = 1 << 1, SqFlagTaskRun = 1 << 2;
    public const long OffsetOfRings = 0, OffsetOfSubmissions = 0x10000000;

    // io_uring_enter(2)
    public const uint EnterGetEvents = 1 << 0, EnterExtraArgument = 1 << 3, EnterRegisteredRing = 1 << 4;

    // io_uring_register(2)
    public const uint RegisterRingFds = 20, UnregisterRingFds = 21, RegisterBufferRing = 22, UnregisterBufferRing = 23;

    // Operations, and what goes in the fields they share
    public const byte OpNop = 0, OpPollAdd = 6, OpSendMessage = 9, OpAsyncCancel = 14, OpSend = 26, OpReceive = 27;
    public const byte SqeBufferSelect = 1 << 5;
    public const ushort ReceiveMultishot = 1 << 1;
    public const uint PollAddMultishot = 1 << 0;
    public const uint PollIn = 0x001, PollOut = 0x004;

    // What comes back
    public const uint CqeBuffer = 1 << 0, CqeMore = 1 << 1;
    public const int CqeBufferShift = 16;

    // mmap(2)
    public const int ProtReadWrite = 0x3, MapShared = 0x01, MapPopulate = 0x8000;
    public const nint MapFailed = -1;

    private const long NumberOfSetup = 425, NumberOfEnter = 426, NumberOfRegister = 427;

    /// <summary>A new ring's descriptor (it is closed on exec), or -1.</summary>
    public static int Setup(uint entries, UringParameters* parameters) =>
        (int)Call(NumberOfSetup, (nint)entries, (nint)parameters, 0, 0, 0, 0);

    /// <summary>Submissions that the kernel took, or -1.</summary>
    public static int Enter(int ring, uint submit, uint completionsMin, uint flags, void* argument, nint bytes) =>
        (int)Call(NumberOfEnter, ring, (nint)submit, (nint)completionsMin, (nint)flags, (nint)argument, bytes);

    public static int Register(int ring, uint operation, void* argument, uint count) =>
        (int)Call(NumberOfRegister, ring, (nint)operation, (nint)argument, (nint)count, 0, 0);

    [DllImport("libc", EntryPoint = "mmap", ExactSpelling = true)]
    public static extern nint Map(nint address, nint bytes, int protection, int flags, int fd, long offset);

    [DllImport("libc", EntryPoint = "munmap", ExactSpelling = true)]
    public static extern int Unmap(nint address, nint bytes);

    [DllImport("libc", EntryPoint = "socketpair", ExactSpelling = true)]
    public static extern int SocketPair(int family, int type, int protocol, int* ends);

    [DllImport("libc", EntryPoint = "syscall", ExactSpelling = true)]
    private static extern nint Call(long number, nint a, nint b, nint c, nint d, nint e, nint f);
}

/// <summary><c>struct io_uring_params</c>, with both tables of offsets.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct UringParameters
{
    public uint SubmissionEntries, CompletionEntries, Flags, ThreadCpu, ThreadIdle, Features, WorkerFd;
    public uint Reserved0, Reserved1, Reserved2;
    public uint SqHead, SqTail, SqMask, SqEntries, SqFlags, SqDropped, SqArray, SqReserved;
    public ulong SqUserAddress;
    public uint CqHead, CqTail, CqMask, CqEntries, CqOverflow, CqCompletions, CqFlags, CqReserved;
    public ulong CqUserAddress;
}

/// <summary><c>struct io_uring_sqe</c>: what is asked of the kernel.</summary>
[StructLayout(LayoutKind.Explicit, Size = 64)]
internal struct Submission
{
    [FieldOffset(0)] public byte Operation;
    [FieldOffset(1)] public byte Flags;
    [FieldOffset(2)] public ushort Priority;
    [FieldOffset(4)] public int Fd;
    [FieldOffset(16)] public ulong Address;
    [FieldOffset(24)] public uint Length;
    [FieldOffset(28)] public uint OperationFlags;
    [FieldOffset(32)] public ulong UserData;
    [FieldOffset(40)] public ushort BufferGroup;
}

/// <summary><c>struct io_uring_cqe</c>: what became of it.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct Completion
{
    public ulong UserData;

    /// <summary>The call's result; below zero it is the error.</summary>
    public int Result;
    public uint Flags;
}

/// <summary>
/// <c>struct io_uring_buf</c>. The ring's tail lies in the last two bytes of entry 0, so those are never written here.
/// </summary>
[StructLayout(LayoutKind.Explicit, Size = 16)]
internal struct OfferedBuffer
{
    [FieldOffset(0)] public ulong Address;
    [FieldOffset(8)] public uint Length;
    [FieldOffset(12)] public ushort Id;
}

/// <summary><c>struct io_uring_buf_reg</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct BufferRingRegistration
{
    public ulong Address;
    public uint Entries;
    public ushort Group, Flags;
    public ulong Reserved0, Reserved1, Reserved2;
}

/// <summary><c>struct io_uring_rsrc_update</c>, which is how a ring's own descriptor is registered.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct RingRegistration
{
    public uint Offset, Reserved;
    public ulong Data;
}

/// <summary><c>struct io_uring_getevents_arg</c>: a wait that ends.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct WaitArgument
{
    public ulong SignalMask;
    public uint SignalMaskBytes, MinimumMicroseconds;
    public ulong Timeout;
}

/// <summary><c>struct __kernel_timespec</c>.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KernelTime
{
    public long Seconds, Nanoseconds;
}
