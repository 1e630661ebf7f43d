using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;
using static Mortise.Transports.Kernel.UringAbi;

namespace Mortise.Transports.Uring;

/// <summary>
/// Whether this process may and can use io_uring, found out once by using it: a filter or an old kernel says no at
/// different calls, and some kernels know the flags but not the operation.
/// </summary>
internal static unsafe class UringProbe
{
    private const string Switch = "/proc/sys/kernel/io_uring_disabled";
    private const int Eperm = 1, Enomem = 12, Einval = 22, Emfile = 24, Enosys = 38;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);
    private static readonly Lazy<string?> Once = new(Probe);

    /// <summary>Null when io_uring serves; else the call that failed, its error and the likely reason.</summary>
    public static string? Failure => Once.Value;

    /// <summary>The probe itself, every time anew.</summary>
    public static string? Probe()
    {
        if (!OperatingSystem.IsLinux() || !Environment.Is64BitProcess)
            return "not a 64-bit Linux";
        var ends = stackalloc int[2];
        if (SocketPair(Libc.AfUnix, Libc.SockStream | Libc.SockCloexec, 0, ends) < 0)
            return Because("socketpair", Libc.Errno);
        try
        {
            using var ring = new Ring(submissions: 8);
            using var buffers = new BufferRing(ring, new BlockPool(poison: false), slotsStart: 2, slotsMax: 2);
            return Receive(ring, buffers, ends[0], ends[1]);
        }
        catch (MortiseException refused)
        {
            return Because(refused.Operation, refused.Errno);
        }
        finally
        {
            Libc.Close(ends[0]);
            Libc.Close(ends[1]);
        }
    }

    /// <summary>One line for the log: what was called, what came back, what that usually means.</summary>
    public static string Because(string call, int errno) =>
        $"{call}: {ErrorCatalogue.ByErrno(errno).Symbol} ({Likely(errno)})";

    // A byte must come and leave the receive armed, then the end of the stream must come.
    private static string? Receive(Ring ring, BufferRing buffers, int here, int peer)
    {
        byte sent = 42;
        ring.Receive(here, buffers.Group, userData: 1);
        ring.Submit();
        Libc.Send(peer, &sent, 1, Libc.MsgNoSignal);
        ring.SubmitAndWait(1, Patience);
        if (ring.Ready == 0)
            return "multishot recv: no completion (the kernel did not answer)";
        var received = ring.Take();
        if (received.Result != 1 || (received.Flags & (CqeBuffer | CqeMore)) != (CqeBuffer | CqeMore))
            return Because("multishot recv", received.Result < 0 ? -received.Result : Einval);
        buffers.PutBack(received.Flags);

        Libc.Shutdown(peer, Libc.ShutWrite);
        ring.SubmitAndWait(1, Patience);
        var ended = ring.Ready != 0 && ring.Take() is { Result: 0 } end && (end.Flags & CqeMore) == 0;
        return ended ? null : "multishot recv: the end of the stream was not told";
    }

    private static string Likely(int errno) => errno switch
    {
        Eperm when SwitchedOff() is { } value => $"kernel.io_uring_disabled={value}",
        Eperm => "denied by a seccomp filter, as containers do, or by a security module",
        Enosys => "this kernel has no io_uring, or a seccomp filter hides it",
        Einval => $"kernel {Environment.OSVersion.Version} is too old: 6.1 or later is needed",
        Enomem => "out of locked memory: see ulimit -l",
        Emfile => "no descriptor is free: see ulimit -n",
        _ => ErrorCatalogue.ByErrno(errno).English.Meaning,
    };

    private static string? SwitchedOff()
    {
        try
        {
            return File.ReadAllText(Switch).Trim() is var value and not "0" ? value : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Kernels before 6.6 have no such switch.
            return null;
        }
    }
}
