using System.Runtime.InteropServices;
using Mortise.Errors;
using Mortise.Transports.Kernel;

namespace Mortise.Transports.Epoll;

/// <summary>The kernel's set of descriptors and the events of the last look (<c>epoll(7)</c>, by edges).</summary>
internal sealed unsafe class EpollSet : IDisposable
{
    private const int EventsMax = 512;
    private const int CreateCloexec = 0x80000, ControlAdd = 1, ControlDelete = 2;
    private const uint EdgeTriggered = 1u << 31;

    private readonly int _fd;
    private readonly byte* _events;

    /// <exception cref="MortiseException">EMFILE, ENFILE, ENOMEM.</exception>
    public EpollSet()
    {
        _fd = Libc.EpollCreate(CreateCloexec);
        if (_fd < 0)
            throw Refusal("epoll_create1", Libc.Errno);
        _events = (byte*)NativeMemory.Alloc((nuint)(EventsMax * EpollEvent.Bytes));
    }

    /// <summary>An event of the last <see cref="Wait"/>.</summary>
    public EpollEvent this[int index] => EpollEvent.Read(_events + index * EpollEvent.Bytes);

    /// <exception cref="MortiseException">ENOMEM, ENOSPC (<c>max_user_watches</c>).</exception>
    public void Add(int fd, uint events, ulong tag)
    {
        var wanted = stackalloc byte[EpollEvent.BytesMax];
        new EpollEvent(events | EdgeTriggered, tag).Write(wanted);
        if (Libc.EpollControl(_fd, ControlAdd, fd, wanted) != 0)
            throw Refusal("epoll_ctl", Libc.Errno);
    }

    public void Remove(int fd) => _ = Libc.EpollControl(_fd, ControlDelete, fd, null);

    /// <summary>How many events there are now; none when a signal came (EINTR).</summary>
    public int Wait(bool mayBlock) => Math.Max(0, Libc.EpollWait(_fd, _events, EventsMax, mayBlock ? -1 : 0));

    public void Dispose()
    {
        _ = Libc.Close(_fd);
        NativeMemory.Free(_events);
    }

    /// <summary>The failure of one of epoll's own calls.</summary>
    public static MortiseException Refusal(string call, int errno)
    {
        var entry = ErrorCatalogue.ByErrno(errno);
        return new MortiseException(call, null, entry.Symbol, entry.English.Meaning, errno: errno);
    }
}
