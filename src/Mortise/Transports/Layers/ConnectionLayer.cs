using System.IO.Pipelines;

namespace Mortise.Transports.Layers;

/// <summary>
/// What stands between a connection's wire and its handler and turns the bytes of one into those of the other. It has
/// the pipes that the handler knows; the wire's own are its alone.
/// </summary>
internal abstract class ConnectionLayer
{
    public abstract PipeReader Input { get; }

    public abstract PipeWriter Output { get; }

    public abstract TlsInfo Tls { get; }

    /// <summary>Bytes handed to <see cref="Input"/> so far, as the handler sees them. From any thread.</summary>
    public abstract long BytesReceived { get; }

    /// <summary>Bytes taken from the wire that the handler has not consumed.</summary>
    public abstract long BytesHeld { get; }

    /// <summary>Bytes written that the wire has not taken.</summary>
    public abstract long BytesQueued { get; }

    /// <summary>Bytes were flushed and wait for room on the wire.</summary>
    public abstract bool IsSending { get; }

    /// <summary>The peer has said that it sends no more.</summary>
    public abstract bool PeerFinished { get; }

    /// <summary>The close in order, once it has begun; the connection's own.</summary>
    public Task? Closing { get; set; }

    /// <summary>Until <see cref="EndMessage"/> what is written stays in one piece.</summary>
    public abstract void BeginMessage();

    public abstract void EndMessage();

    public abstract void FlushSoon();

    /// <summary>Hands everything that was written to the wire, and this layer's own end behind it.</summary>
    /// <exception cref="TimeoutException">The wire did not take it in time.</exception>
    public abstract Task CloseAsync(TimeSpan timeout);

    /// <summary>The wire is over: buffers go back, and every later call fails. From any thread.</summary>
    public abstract void Retire();
}
