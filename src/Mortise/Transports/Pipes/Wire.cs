using System.Net.Sockets;

namespace Mortise.Transports.Pipes;

/// <summary>
/// The bytes of one connection as the operating system offers them: non-blocking tries, and waits for readiness. It
/// keeps no buffers and knows no pipes; <see cref="WireReader"/> and <see cref="WireWriter"/> do that for every wire.
/// </summary>
/// <remarks>When the connection failed, all members throw what <see cref="IsFailure"/> knows.</remarks>
internal abstract class Wire
{
    /// <summary>Thrown by a wire, as opposed to a fault in this program.</summary>
    public static bool IsFailure(Exception e) => e is SocketException or ObjectDisposedException or IOException;

    /// <summary>Bytes received now; 0 = the peer finished sending; -1 = nothing is there yet.</summary>
    public abstract int TryReceive(Memory<byte> buffer);

    /// <summary>
    /// Completes when <see cref="TryReceive"/> is worth another try: bytes, end of stream, an error, or
    /// <see cref="WakeReader"/>. One waiter at a time. Needs no buffer.
    /// </summary>
    public abstract ValueTask WaitReadableAsync();

    /// <summary>Completes the present or the next <see cref="WaitReadableAsync"/> early.</summary>
    public abstract void WakeReader();

    /// <summary>Bytes taken now, 0 when none can be taken yet.</summary>
    public abstract int TrySend(ReadOnlyMemory<byte> bytes);

    /// <summary>Gathers several buffers into one call; bytes taken now.</summary>
    public abstract int TrySend(IList<ArraySegment<byte>> buffers);

    /// <summary>Waits until bytes could be taken, and takes at least one.</summary>
    public abstract ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes);

    /// <summary>Half-close: the peer reads end of stream, this side may go on receiving.</summary>
    public abstract void ShutdownSend();

    /// <summary>
    /// Ends both directions and frees the descriptor; <paramref name="reset"/> throws away unsent bytes.
    /// </summary>
    public abstract void Close(bool reset);

    /// <summary>
    /// Runs work soon, not on this stack: on the thread pool, or wherever the connections of this wire live.
    /// </summary>
    public virtual void Post<TState>(Action<TState> work, TState state) =>
        ThreadPool.UnsafeQueueUserWorkItem(work, state, preferLocal: true);

    /// <summary>
    /// What several senders wait on together. On the thread pool each of them goes on by itself: one that blocks must
    /// not keep the others from seeing that their bytes have gone.
    /// </summary>
    public virtual TaskCreationOptions Continuations => TaskCreationOptions.RunContinuationsAsynchronously;

    /// <summary>The socket under the wire, or null where there is none.</summary>
    public virtual Socket? Socket => null;
}
