using System.IO.Pipelines;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// The sending pipe of a connection of packets: what is written between two flushes, or within one message, leaves as
/// one packet. It is gathered in one block, which then belongs to the sender.
/// </summary>
internal sealed class PacketWriter(PacketConnection connection, BlockPool pool) : PipeWriter, Framing.IGatheringOutput
{
    private Block? _block;
    private bool _completed;

    /// <summary>Held while a message is written in pieces, so that it stays in one packet.</summary>
    public Lock Gate { get; } = new();

    public override bool CanGetUnflushedBytes => true;

    public override long UnflushedBytes => _block?.Filled ?? 0;

    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        lock (Gate)
            return Room(Math.Max(1, sizeHint)).FreeMemory;
    }

    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    public override void Advance(int bytes)
    {
        lock (Gate)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(bytes);
            if (bytes == 0)
                return;
            ThrowIfUnusable();
            ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, _block?.Free ?? 0);
            _block!.Fill(bytes);
        }
    }

    /// <summary>One packet: these bytes, behind those that were not flushed.</summary>
    public override ValueTask<FlushResult> WriteAsync(ReadOnlyMemory<byte> source,
        CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (Gate)
        {
            Append(source.Span);
            Seal();
        }

        return connection.GoneAsync(cancellationToken);
    }

    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        cancellationToken.ThrowIfCancellationRequested();
        lock (Gate)
        {
            ThrowIfUnusable();
            Seal();
        }

        return connection.GoneAsync(cancellationToken);
    }

    void Framing.IGatheringOutput.Write(ReadOnlySpan<byte> head, ReadOnlySpan<byte> payload, ReadOnlySpan<byte> tail)
    {
        lock (Gate)
        {
            Room(head.Length + payload.Length + tail.Length);
            Append(head);
            Append(payload);
            Append(tail);
        }
    }

    /// <summary>Under <see cref="Gate"/>.</summary>
    public void Append(ReadOnlySpan<byte> bytes)
    {
        var block = Room(bytes.Length);
        bytes.CopyTo(block.FreeSpan);
        block.Fill(bytes.Length);
    }

    /// <summary>Makes one packet of what was written; of nothing, none. Under <see cref="Gate"/>.</summary>
    /// <exception cref="ConnectionException">It is longer than a packet may be (EMSGSIZE); it is dropped.</exception>
    public void Seal()
    {
        if (_block is not { } block)
            return;
        _block = null;
        if (block.Filled > 0 && block.Filled <= connection.PacketBytesMax)
        {
            connection.Send(block);
            return;
        }

        var bytes = block.Filled;
        pool.Return(block);
        if (bytes > 0)
            throw connection.TooLong(bytes);
    }

    /// <summary>The present or next flush cannot be cancelled: it waits for nothing but the kernel.</summary>
    public override void CancelPendingFlush()
    {
    }

    /// <summary>The last packet leaves on this stack where the kernel takes it at once, else soon.</summary>
    public override void Complete(Exception? exception = null)
    {
        if (exception is not null)
        {
            connection.AbortFor(CloseReason.Abort);
            return;
        }

        try
        {
            SealLast();
        }
        finally
        {
            _ = FinishQuietlyAsync();
        }
    }

    /// <summary>Ends sending in order, waits until what was written is out. A second call waits too.</summary>
    public override async ValueTask CompleteAsync(Exception? exception = null)
    {
        if (exception is not null)
        {
            connection.AbortFor(CloseReason.Abort);
            return;
        }

        try
        {
            SealLast();
        }
        finally
        {
            await FinishAsync().ConfigureAwait(false); // what went before a packet that is too long goes all the same
        }
    }

    /// <summary>The connection is over. Somebody may be writing: his memory is left to him.</summary>
    public void Break()
    {
        lock (Gate)
        {
            if (_block is not { } block)
                return;
            _block = null;
            block.Lent = true;
            pool.Return(block);
        }
    }

    private void SealLast()
    {
        lock (Gate)
        {
            if (_completed)
                return;
            _completed = true;
            Seal();
        }
    }

    private async Task FinishAsync()
    {
        if (connection.CloseReason is not null)
            return;
        await connection.GoneAsync(default).ConfigureAwait(false);
        connection.FinishSending();
    }

    private async Task FinishQuietlyAsync()
    {
        try
        {
            await FinishAsync().ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // It ended meanwhile, and reading tells so.
        }
    }

    private void ThrowIfUnusable()
    {
        connection.ThrowIfEnded("send");
        if (_completed)
            throw new InvalidOperationException("Output was completed; nothing can be written after it.");
    }

    private Block Room(int bytes)
    {
        ThrowIfUnusable();
        if (_block is { } block && block.Free >= bytes)
            return block;
        var larger = pool.Rent(Math.Max(BlockPool.SmallBytes, (_block?.Filled ?? 0) * 2 + bytes));
        if (_block is not null)
        {
            _block.Bytes.AsSpan(0, _block.Filled).CopyTo(larger.FreeSpan);
            larger.Fill(_block.Filled);
            pool.Return(_block);
        }

        return _block = larger;
    }
}
