using System.Buffers;
using System.IO.Pipelines;
using Mortise.Telemetry;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// A connection whose bytes come and go in packets: a read gives one, and a message, or what is written between two
/// flushes, leaves as one. Its continuations run on the thread pool.
/// </summary>
internal abstract class PacketConnection : Connection
{
    private readonly Lock _closeGate = new();
    private Task? _closing;
    private long _queued;
    private long _lastAdded;

    protected PacketConnection(Endpoint local, Endpoint remote, TimeProvider time) : base(local, remote, time)
    {
        Reader = new PacketReader(this, BlockPool.Shared);
        Writer = new PacketWriter(this, BlockPool.Shared);
    }

    internal override PipeReader WireInput => Reader;

    internal override PipeWriter WireOutput => Writer;

    internal override long WireBytesHeld => Reader.Held;

    internal override long WireBytesQueued => Volatile.Read(ref _queued);

    internal override bool IsWireSending => BytesQueued > 0;

    internal override bool IsWireClosing => Volatile.Read(ref _closing) is not null;

    internal override bool KeepsBoundaries => true;

    /// <summary>A longer packet is not tried.</summary>
    internal abstract int PacketBytesMax { get; }

    protected PacketReader Reader { get; }

    protected PacketWriter Writer { get; }

    /// <summary>Who sends for the socket underneath.</summary>
    protected abstract PacketSender Sender { get; }

    /// <summary>The peer said that it sends no more.</summary>
    protected virtual bool PeerFinished => false;

    private protected override ValueTask SendPiecesAsync(in ReadOnlySequence<byte> bytes,
        CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (Writer.Gate)
        {
            foreach (var piece in bytes)
                Writer.Append(piece.Span);
            Writer.Seal();
        }

        return Flushed(GoneAsync(cancellationToken));
    }

    internal override void BeginWireMessage() => Writer.Gate.Enter();

    internal override void EndWireMessage()
    {
        try
        {
            Writer.Seal();
        }
        finally
        {
            Writer.Gate.Exit();
        }
    }

    internal override void FlushWireSoon() => Sender.SendSoon();

    /// <summary>A whole packet; the block is no longer the caller's.</summary>
    internal virtual void Send(Block block)
    {
        Interlocked.Add(ref _queued, block.Filled);
        Volatile.Write(ref _lastAdded, Sender.Add(this, block));
    }

    /// <summary>Ends when the kernel has what was sent so far.</summary>
    internal async ValueTask<FlushResult> GoneAsync(CancellationToken cancellationToken)
    {
        var gone = Sender.GoneAsync(Volatile.Read(ref _lastAdded));
        if (gone.IsCompletedSuccessfully || IsOwn(cancellationToken))
            await gone.ConfigureAwait(false);
        else
            await gone.AsTask().WaitOrLeaveAsync(cancellationToken).ConfigureAwait(false);
        if (CloseReason is not null)
            throw Fault ?? EndedError("send");
        return default;
    }

    /// <summary>The kernel took a packet, or it was dropped (0 of its bytes went).</summary>
    internal void Settled(int queued, int went)
    {
        Interlocked.Add(ref _queued, -queued);
        if (went > 0)
            CountSent(went);
    }

    /// <summary>The failure of a packet that is too long.</summary>
    internal abstract ConnectionException TooLong(int bytes);

    /// <summary>Nothing will be written any more, and all that was has gone.</summary>
    internal virtual void FinishSending()
    {
    }

    internal override void EndInputFor(CloseReason reason)
    {
        NoteInputEnd(reason);
        Reader.EndInput();
    }

    internal override void AbortFor(CloseReason reason) => EndFor(reason, null);

    internal override ValueTask CloseWireAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        lock (_closeGate)
            return new(_closing ??= CloseOnceAsync(reason, flushTimeout, linger));
    }

    internal override void CountDropped(DropReason reason) => LostPackets.Count(reason);

    /// <summary>What ended it, where that was a failure of the kernel's.</summary>
    protected ConnectionException? Fault { get; private set; }

    /// <summary>Lets go of what is underneath; once.</summary>
    protected abstract void Release();

    /// <summary>Gives the peer so much time to finish; where it cannot say so, none.</summary>
    protected virtual Task LingerAsync(TimeSpan linger) => Task.CompletedTask;

    /// <summary>Ends it now, if nothing has before.</summary>
    protected internal void EndFor(CloseReason reason, ConnectionException? fault)
    {
        if (!TryEnd(reason))
            return;
        Fault = fault;
        Writer.Break();
        Reader.Retire(fault);
        Sender.SendSoon(); // what it has not sent is thrown away there
        Release();
        TellOwner();
        Post(static c => ((PacketConnection)c!).AnnounceEnd(), this);
    }

    private async Task CloseOnceAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        if (CloseReason is not null)
            return;
        Reader.EndInput();
        try
        {
            await Writer.CompleteAsync().AsTask().WaitOrLeaveAsync(flushTimeout, Time).ConfigureAwait(false);
            await LingerAsync(linger).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            AbortFor(Mortise.CloseReason.WriteStalled);
            return;
        }
        catch (ConnectionException)
        {
            // The peer or an abort ended it first, and that reason stays.
        }

        EndFor(Explained(reason, PeerFinished), null);
    }
}
