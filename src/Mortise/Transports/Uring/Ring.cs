using System.Runtime.InteropServices;
using Mortise.Transports.Kernel;
using static Mortise.Transports.Kernel.UringAbi;

namespace Mortise.Transports.Uring;

/// <summary>
/// The two queues that one thread shares with the kernel: it writes submissions, enters the kernel once, and takes
/// completions. Made, used and disposed on one thread, which is what lets the kernel work without locks.
/// </summary>
/// <remarks>Kernel 6.1 or later (deferred task work); an older one refuses the setup with EINVAL.</remarks>
internal sealed unsafe class Ring : IDisposable
{
    public const uint SubmissionsDefault = 1024;
    public const uint CompletionsPerSubmission = 4;
    private const int Eintr = 4, Eagain = 11, Ebusy = 16, Einval = 22, Etime = 62;

    private readonly int _fd;
    private readonly int _enterFd;
    private readonly uint _enterFlags;
    private readonly nint _rings, _ringsBytes, _submissionsBytes;
    private readonly uint* _sqHead, _sqTail, _sqFlags, _cqHead, _cqTail;
    private readonly uint _sqMask, _sqEntries, _cqMask;
    private readonly Submission* _submissions;
    private readonly Completion* _completions;

    // Our own end of each queue; the kernel's end is read from the shared memory.
    private uint _tail, _head;

    // Where submissions go while the kernel, short of memory, does not take those of a full queue.
    private Submission* _backlog;
    private uint _backlogCount, _backlogCapacity;
    private bool _disposed;

    /// <exception cref="MortiseException">The kernel refused: EPERM, ENOSYS, EINVAL, ENOMEM, …</exception>
    public Ring(uint submissions = SubmissionsDefault, uint completions = 0)
    {
        _fd = SetUp(submissions, completions == 0 ? submissions * CompletionsPerSubmission : completions, out var p);
        if (_fd < 0)
            throw Refusal("io_uring_setup", Libc.Errno);

        _ringsBytes = (nint)Math.Max(p.SqArray + p.SubmissionEntries * sizeof(uint),
            p.CqCompletions + p.CompletionEntries * sizeof(Completion));
        _submissionsBytes = (nint)(p.SubmissionEntries * sizeof(Submission));
        _rings = Map(0, _ringsBytes, ProtReadWrite, MapShared | MapPopulate, _fd, OffsetOfRings);
        _submissions = (Submission*)Map(0, _submissionsBytes, ProtReadWrite, MapShared | MapPopulate, _fd,
            OffsetOfSubmissions);
        if (_rings == MapFailed || (nint)_submissions == MapFailed)
        {
            var errno = Libc.Errno;
            Release();
            throw Refusal("mmap", errno);
        }

        var at = (byte*)_rings;
        _sqHead = (uint*)(at + p.SqHead);
        _sqTail = (uint*)(at + p.SqTail);
        _sqFlags = (uint*)(at + p.SqFlags);
        _cqHead = (uint*)(at + p.CqHead);
        _cqTail = (uint*)(at + p.CqTail);
        _completions = (Completion*)(at + p.CqCompletions);
        _sqEntries = p.SubmissionEntries;
        _sqMask = p.SubmissionEntries - 1;
        _cqMask = p.CompletionEntries - 1;
        if ((p.Flags & SetupNoSqArray) == 0)
            for (var i = 0u; i < _sqEntries; i++)
                ((uint*)(at + p.SqArray))[i] = i;

        // Saves the kernel the look-up of the descriptor on every turn; a kernel that declines is as good.
        var own = new RingRegistration { Offset = uint.MaxValue, Data = (ulong)_fd };
        var registered = Register(_fd, RegisterRingFds, &own, 1) == 1;
        _enterFd = registered ? (int)own.Offset : _fd;
        _enterFlags = registered ? EnterRegisteredRing : 0;
    }

    public int Fd => _fd;

    /// <summary>Submissions that the kernel has not taken yet.</summary>
    public uint Pending => _tail - Volatile.Read(ref *_sqHead) + _backlogCount;

    /// <summary>Completions that can be taken now.</summary>
    public uint Ready => Volatile.Read(ref *_cqTail) - _head;

    /// <summary>The kernel holds completions back until it is entered: its work, or what the queue had no room
    /// for.</summary>
    public bool MustEnter => (Volatile.Read(ref *_sqFlags) & (SqFlagTaskRun | SqFlagCqOverflow)) != 0;

    /// <summary>True while completions wait in the kernel because the queue is full.</summary>
    public bool Overflowed => (Volatile.Read(ref *_sqFlags) & SqFlagCqOverflow) != 0;

    /// <summary>
    /// Asks for everything that arrives, each time in a buffer of the group, until it ends or is cancelled.
    /// </summary>
    /// <remarks>
    /// It tries first. With IORING_RECVSEND_POLL_FIRST, which saves that, the kernel (6.18) forgets an end that was
    /// there before the request together with bytes: a Unix peer's shutdown, or a reset.
    /// </remarks>
    public void Receive(int fd, ushort bufferGroup, ulong userData)
    {
        var ask = Next();
        ask->Operation = OpReceive;
        ask->Flags = SqeBufferSelect;
        ask->Priority = ReceiveMultishot;
        ask->Fd = fd;
        ask->UserData = userData;
        ask->BufferGroup = bufferGroup;
    }

    /// <summary>Sends one piece of memory, which stays where it is until the completion; less of it may be
    /// taken.</summary>
    public void Send(int fd, nint address, nint length, ulong userData)
    {
        var ask = Next();
        ask->Operation = OpSend;
        ask->Fd = fd;
        ask->Address = (ulong)address;
        ask->Length = (uint)length;
        ask->OperationFlags = Libc.MsgNoSignal;
        ask->UserData = userData;
    }

    /// <summary>Sends several pieces; the header and its list of pieces are read when this is submitted.</summary>
    public void Send(int fd, MessageHeader* message, ulong userData)
    {
        var ask = Next();
        ask->Operation = OpSendMessage;
        ask->Fd = fd;
        ask->Address = (ulong)message;
        ask->Length = 1;
        ask->OperationFlags = Libc.MsgNoSignal;
        ask->UserData = userData;
    }

    /// <summary>Tells each time the descriptor becomes ready for one of the events, until cancelled.</summary>
    public void Poll(int fd, uint events, ulong userData)
    {
        var ask = Next();
        ask->Operation = OpPollAdd;
        ask->Fd = fd;
        ask->Length = PollAddMultishot;
        ask->OperationFlags = events;
        ask->UserData = userData;
    }

    /// <summary>Cancels what was asked with <paramref name="target"/>, which then completes with ECANCELED.</summary>
    public void Cancel(ulong target, ulong userData)
    {
        var ask = Next();
        ask->Operation = OpAsyncCancel;
        ask->Fd = -1;
        ask->Address = target;
        ask->UserData = userData;
    }

    /// <summary>The oldest completion; only while <see cref="Ready"/> is not 0.</summary>
    public Completion Take()
    {
        var completion = _completions[_head++ & _cqMask];
        // At once, so that the kernel has the room when something is submitted in the middle of a turn.
        Volatile.Write(ref *_cqHead, _head);
        return completion;
    }

    /// <summary>Hands over what is pending, without waiting.</summary>
    public void Submit() => Enter(0, 0, null, 0);

    /// <summary>
    /// Hands over what is pending, lets the kernel do its deferred work, and waits until
    /// <paramref name="completionsMin"/> can be taken, a signal comes or, if not null, the time is over.
    /// </summary>
    public void SubmitAndWait(uint completionsMin, TimeSpan? timeout = null)
    {
        if (timeout is not { } limit)
        {
            Enter(completionsMin, EnterGetEvents, null, 0);
            return;
        }
        var time = new KernelTime { Seconds = (long)limit.TotalSeconds, Nanoseconds = limit.Ticks % 10_000_000 * 100 };
        var argument = new WaitArgument { Timeout = (ulong)&time };
        Enter(completionsMin, EnterGetEvents | EnterExtraArgument, &argument, sizeof(WaitArgument));
    }

    public void Dispose()
    {
        if (_disposed)
            return;
        _disposed = true;
        if (_enterFlags != 0)
        {
            var own = new RingRegistration { Offset = (uint)_enterFd };
            Register(_fd, UnregisterRingFds, &own, 1);
        }
        NativeMemory.Free(_backlog);
        Release();
    }

    /// <summary>The failure of one of io_uring's own calls.</summary>
    public static MortiseException Refusal(string call, int errno)
    {
        var entry = ErrorCatalogue.ByErrno(errno);
        return new MortiseException(call, null, entry.Symbol, entry.English.Meaning, errno: errno);
    }

    private static int SetUp(uint submissions, uint completions, out UringParameters parameters)
    {
        var p = new UringParameters
        {
            CompletionEntries = completions,
            Flags = SetupCqSize | SetupClamp | SetupSubmitAll | SetupSingleIssuer | SetupDeferTaskRun
                | SetupTaskRunFlag | SetupNoSqArray,
        };
        var fd = Setup(submissions, &p);
        if (fd < 0 && Libc.Errno == Einval)
        {
            // Before 6.6 the queue has one more level of indirection.
            p.Flags &= ~SetupNoSqArray;
            fd = Setup(submissions, &p);
        }
        parameters = p;
        return fd;
    }

    private Submission* Next()
    {
        if (_backlogCount != 0 || _tail - Volatile.Read(ref *_sqHead) == _sqEntries)
            return NextOfFull();
        var next = _submissions + (_tail++ & _sqMask);
        *next = default;
        return next;
    }

    private void Enter(uint completionsMin, uint flags, WaitArgument* argument, int argumentBytes)
    {
        if (_backlogCount != 0)
            WorkOff();
        Volatile.Write(ref *_sqTail, _tail);
        var submit = _tail - Volatile.Read(ref *_sqHead);
        if (UringAbi.Enter(_enterFd, submit, completionsMin, flags | _enterFlags, argument, argumentBytes) >= 0)
            return;

        // Interrupted, out of time or out of memory for now: the caller's next turn tries again.
        var errno = Libc.Errno;
        if (errno is not (Eintr or Etime or Eagain or Ebusy))
            throw Refusal("io_uring_enter", errno);
    }

    private Submission* NextOfFull()
    {
        if (_backlogCount == 0)
        {
            Submit();
            if (_tail - Volatile.Read(ref *_sqHead) < _sqEntries)
                return Next();
        }
        if (_backlogCount == _backlogCapacity)
        {
            _backlogCapacity = Math.Max(64, _backlogCapacity * 2);
            _backlog = (Submission*)NativeMemory.Realloc(_backlog, _backlogCapacity * (nuint)sizeof(Submission));
        }
        var next = _backlog + _backlogCount++;
        *next = default;
        return next;
    }

    // In order: a cancellation must not overtake what it cancels.
    private void WorkOff()
    {
        var moved = 0u;
        while (moved < _backlogCount)
        {
            if (_tail - Volatile.Read(ref *_sqHead) == _sqEntries)
            {
                Volatile.Write(ref *_sqTail, _tail);
                if (UringAbi.Enter(_enterFd, _sqEntries, 0, _enterFlags, null, 0) <= 0)
                    break;
            }
            else
                _submissions[_tail++ & _sqMask] = _backlog[moved++];
        }
        _backlogCount -= moved;
        NativeMemory.Copy(_backlog + moved, _backlog, _backlogCount * (nuint)sizeof(Submission));
    }

    private void Release()
    {
        if (_rings is not (0 or MapFailed))
            Unmap(_rings, _ringsBytes);
        if ((nint)_submissions is not (0 or MapFailed))
            Unmap((nint)_submissions, _submissionsBytes);
        Libc.Close(_fd);
    }
}
