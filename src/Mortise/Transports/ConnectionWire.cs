using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Mortise.Errors;
using Mortise.Transports.Layers;

namespace Mortise;

/// <content>
/// Below the pipes that a handler knows: the wire's own, which a transport provides, and the layer (encryption) that
/// may stand between. Without a layer both are the same.
/// </content>
public abstract partial class Connection
{
    private ConnectionLayer? _layer;

    /// <summary>What encrypts this connection: protocol, cipher, names, certificates. Null in the clear.</summary>
    public TlsInfo? Tls => _layer?.Tls;

    /// <summary>Bytes that have come to <see cref="Input"/>: of TLS those that it decrypted.</summary>
    internal long InputBytesReceived => _layer is { } layer ? layer.BytesReceived : BytesReceived;

    internal abstract PipeReader WireInput { get; }

    internal abstract PipeWriter WireOutput { get; }

    internal abstract long WireBytesHeld { get; }

    internal abstract long WireBytesQueued { get; }

    internal abstract bool IsWireSending { get; }

    internal abstract bool IsWireClosing { get; }

    internal abstract void BeginWireMessage();

    internal abstract void EndWireMessage();

    internal abstract void FlushWireSoon();

    internal abstract ValueTask CloseWireAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger);

    /// <summary>
    /// From now on the connection's bytes go through <paramref name="layer"/>, for whoever holds the connection. Nobody
    /// reads or writes at that moment. The wire may be over already: then the layer is told at once.
    /// </summary>
    internal void Put(ConnectionLayer layer)
    {
        if (Interlocked.CompareExchange(ref _layer, layer, null) is not null)
            throw new InvalidOperationException("The connection is encrypted already.");
        if (CloseReason is not null)
            layer.Retire();
    }

    /// <summary>Until <see cref="EndMessage"/> what is written to <see cref="Output"/> stays in one piece.</summary>
    internal void BeginMessage()
    {
        if (_layer is { } layer)
            layer.BeginMessage();
        else
            BeginWireMessage();
    }

    internal void EndMessage()
    {
        if (_layer is { } layer)
            layer.EndMessage();
        else
            EndWireMessage();
    }

    /// <summary>What was written leaves soon; nobody waits, and a failure ends the connection.</summary>
    internal void FlushSoon()
    {
        if (_layer is { } layer)
            layer.FlushSoon();
        else
            FlushWireSoon();
    }

    internal ValueTask FlushAsync(CancellationToken cancellationToken) => _layer is { } layer
        ? Flushed(layer.Output.FlushAsync(cancellationToken))
        : FlushWireAsync(cancellationToken);

    /// <summary>
    /// A flush that completes when the kernel has taken all that was written, also on the thread where the connection
    /// lives, where a usual one completes sooner.
    /// </summary>
    internal ValueTask FlushWhollyAsync(CancellationToken cancellationToken) => _layer is { } layer
        ? AtHome(FlushBothAsync(layer, cancellationToken))
        : FlushWireWhollyAsync(cancellationToken);

    internal virtual ValueTask FlushWireWhollyAsync(CancellationToken cancellationToken) =>
        FlushWireAsync(cancellationToken);

    internal virtual ValueTask FlushWireAsync(CancellationToken cancellationToken) =>
        Flushed(WireOutput.FlushAsync(cancellationToken));

    private protected virtual ValueTask SendOneAsync(ReadOnlyMemory<byte> bytes,
        CancellationToken cancellationToken) => Flushed(WireOutput.WriteAsync(bytes, cancellationToken));

    private protected virtual ValueTask SendPiecesAsync(in ReadOnlySequence<byte> bytes,
        CancellationToken cancellationToken) => SendTogetherAsync(bytes, cancellationToken);

    /// <summary>The wire is over, and what it carried with it.</summary>
    private protected void RetireLayer() => _layer?.Retire();

    /// <summary>Of a flush only its end counts.</summary>
    private protected ValueTask Flushed(ValueTask<FlushResult> flush)
    {
        if (!flush.IsCompletedSuccessfully)
            return AtHome(EndOfAsync(flush));
        flush.GetAwaiter().GetResult();
        return default;
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask EndOfAsync(ValueTask<FlushResult> flush) => await flush.ConfigureAwait(false);

    private ValueTask SendTogetherAsync(in ReadOnlySequence<byte> bytes, CancellationToken cancellationToken)
    {
        if (bytes.IsSingleSegment)
            return Flushed(Output.WriteAsync(bytes.First, cancellationToken));
        cancellationToken.ThrowIfCancellationRequested();
        BeginMessage();
        try
        {
            foreach (var part in bytes)
                Output.Write(part.Span);
        }
        finally
        {
            EndMessage();
        }

        return FlushAsync(cancellationToken);
    }

    private async ValueTask FlushBothAsync(ConnectionLayer layer, CancellationToken cancellationToken)
    {
        await layer.Output.FlushAsync(cancellationToken).ConfigureAwait(false);
        await FlushWireWhollyAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The layer says that it has finished, and then the wire.</summary>
    private async ValueTask FinishAsync(ConnectionLayer layer)
    {
        await layer.Output.CompleteAsync().ConfigureAwait(false);
        await WireOutput.CompleteAsync().ConfigureAwait(false);
    }

    /// <summary>Only the first call closes; the others wait with it.</summary>
    private ValueTask CloseAfter(ConnectionLayer layer, CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        lock (layer)
            return new(layer.Closing ??= CloseLayerAsync(layer, reason, flushTimeout, linger));
    }

    private async Task CloseLayerAsync(ConnectionLayer layer, CloseReason reason, TimeSpan flushTimeout,
        TimeSpan linger)
    {
        if (CloseReason is not null)
            return;
        var started = Time.GetTimestamp();
        try
        {
            await layer.CloseAsync(flushTimeout).ConfigureAwait(false);
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
        catch
        {
            AbortFor(reason); // else the descriptor would stay open; and it must not look like an end in order
            throw;
        }

        var left = flushTimeout == Timeout.InfiniteTimeSpan ? flushTimeout
            : TimeSpan.FromTicks(Math.Max(0, (flushTimeout - Time.GetElapsedTime(started)).Ticks));
        await CloseWireAsync(Explained(reason, layer.PeerFinished), left, linger).ConfigureAwait(false);
    }
}
