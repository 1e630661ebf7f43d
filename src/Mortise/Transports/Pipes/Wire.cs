namespace Mortise.Transports.Pipes;

/// <summary>
/// The bytes of one connection as the operating system offers them: non-blocking tries, and waits for readiness. It
/// keeps no buffers and knows no pipes; <see cref="WireReader"/> and <see cref="WireWriter"/> do that for every wire.
/// </summary>
/// <remarks>All members throw <see cref="System.Net.Sockets.SocketException"/> when the connection failed.</remarks>
internal abstract class Wire
{
    /// <summary>Bytes received now; 0 = the peer finished sending; -1 = nothing is there yet.</summary>
    public abstract int TryReceive(Span<byte> buffer);

    /// <summary>
    /// Completes when <see cref="TryReceive"/> is worth another try: bytes, end of stream, an error, or
    /// <see cref="WakeReader"/>. One waiter at a time. Needs no buffer.
    /// </summary>
    public abstract ValueTask WaitReadableAsync();

    /// <summary>Completes the present or the next <see cref="WaitReadableAsync"/> early.</summary>
    public abstract void WakeReader();

    /// <summary>Bytes taken now, 0 when none can be taken yet.</summary>
    public abstract int TrySend(ReadOnlySpan<byte> bytes);

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
    public virtual System.Net.Sockets.Socket? Socket => null;
}
