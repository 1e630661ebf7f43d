using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Mortise.Transports.Kernel;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Loops;

/// <summary>
/// How one event loop talks to the kernel: io_uring or epoll, and nothing else differs between the two. It is made,
/// used and disposed on the loop's thread; only <see cref="Wake"/> may be called from others.
/// </summary>
/// <remarks>
/// What the kernel did comes back through the connection's <c>On…</c> methods and <see cref="Watch.OnReady"/>, always
/// from inside <see cref="Wait"/>, <see cref="Send"/> or <see cref="Pause"/>; none of them runs a user's code.
/// </remarks>
internal abstract class Poller : IDisposable
{
    /// <summary>Connections and watches that are attached.</summary>
    public abstract int Attached { get; }

    /// <summary>
    /// Hands the kernel what was asked since the last turn, waits for news if <paramref name="mayBlock"/>, and delivers
    /// what is there.
    /// </summary>
    public abstract void Wait(bool mayBlock);

    /// <summary>Ends a blocking <see cref="Wait"/>, or makes the next one return at once; from any thread.</summary>
    public abstract void Wake();

    /// <summary>Watches a descriptor until <see cref="Remove"/>: it is told each time readiness may be new.</summary>
    /// <exception cref="MortiseException">The kernel refused, e.g. ENOMEM or ENOSPC.</exception>
    public abstract void Add(Watch watch);

    /// <summary>Ends a watch; <see cref="Watch.OnRemoved"/> follows when the kernel has let go of it.</summary>
    public abstract void Remove(Watch watch);

    /// <summary>Takes a connection in and starts to receive for it.</summary>
    /// <exception cref="MortiseException">The kernel refused, e.g. ENOMEM or ENOSPC.</exception>
    public abstract void Attach(LoopConnection connection);

    /// <summary>
    /// Stops receiving for now; <c>OnPaused</c> follows, and until then bytes may still arrive. What the peer goes on
    /// sending stays in the kernel, which is the back-pressure.
    /// </summary>
    public abstract void Pause(LoopConnection connection);

    /// <summary>Receives again, after <c>OnPaused</c>.</summary>
    public abstract void Resume(LoopConnection connection);

    /// <summary>
    /// Sends what the connection's writer gathers (<c>Gather</c>); one send of a connection is in flight at a time.
    /// <c>OnSent</c> follows with the bytes taken, or a failure; fewer bytes than gathered mean: call again.
    /// </summary>
    public abstract void Send(LoopConnection connection);

    /// <summary>
    /// Ends receiving and sending; <c>OnDetached</c> follows when the kernel uses neither its descriptor nor its
    /// buffers any more. Only then may the descriptor be closed.
    /// </summary>
    public abstract void Detach(LoopConnection connection);

    public abstract void Dispose();
}

/// <summary>
/// A descriptor whose readiness somebody wants to know: a listening socket, a connect in progress, the loop's own wake.
/// </summary>
internal abstract class Watch(int fd, bool writable = false)
{
    /// <summary>The poller's own: where it keeps this watch.</summary>
    public int Slot { get; set; } = -1;

    /// <summary>The poller's own: what the kernel is doing for this watch.</summary>
    public uint IoState { get; set; }

    public int Fd { get; } = fd;

    /// <summary>Wait for room to write (POLLOUT), not for something to read (POLLIN); errors are always told.</summary>
    public bool Writable { get; } = writable;

    /// <summary>Readiness may be new since the last call: try until EAGAIN.</summary>
    public abstract void OnReady();

    /// <summary>The kernel does not look at the descriptor any more; it can be closed.</summary>
    public virtual void OnRemoved()
    {
    }
}

/// <summary>Where a pooled block is; pooled arrays are pinned, so it stays there.</summary>
internal static unsafe class BlockMemory
{
    public static byte* Address(this Block block) =>
        (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetArrayDataReference(block.Bytes));

    /// <summary>Takes over the bytes of a block that fits behind its own, and gives that one back.</summary>
    public static void Absorb(this Block block, Block small)
    {
        small.Bytes.AsSpan(0, small.Filled).CopyTo(block.FreeSpan);
        block.Fill(small.Filled);
        BlockPool.Shared.Return(small);
    }
}
