namespace Mortise.Transports.Pipes;

/// <summary>
/// Hands a chain of buffers to the wire in as few calls as it takes. It belongs to whoever has the sending turn, and
/// keeps nothing between calls but its list.
/// </summary>
internal sealed class Gather(Wire wire)
{
    /// <summary>The kernel refuses more than 1,024 buffers in one call (IOV_MAX, <c>writev(2)</c>).</summary>
    private const int BuffersMax = 256;

    private readonly List<ArraySegment<byte>> _buffers = [];

    /// <summary>Sends what is taken now, from <paramref name="skip"/> on; gives where the rest begins.</summary>
    public (Block? Block, int Skip) TrySend(Block? block, int skip, out int sentBytes)
    {
        sentBytes = 0;
        for (var full = false; ;)
        {
            while (block is not null && skip >= block.Filled)
            {
                skip -= block.Filled;
                block = block.NextBlock;
            }

            if (block is null || full)
                return (block, skip);
            var offered = Offer(block, skip);
            var sent = _buffers.Count == 0 ? wire.TrySend(block.Bytes.AsMemory(skip, offered)) : wire.TrySend(_buffers);
            sentBytes += sent;
            skip += sent;
            full = sent < offered;
        }
    }

    /// <summary>The bytes that the next call offers; the list stays empty where one buffer is all.</summary>
    private int Offer(Block first, int skip)
    {
        _buffers.Clear();
        if (first.NextBlock is null)
            return first.Filled - skip;
        var bytes = 0;
        for (var block = first; block is not null && _buffers.Count < BuffersMax; block = block.NextBlock)
        {
            _buffers.Add(new ArraySegment<byte>(block.Bytes, skip, block.Filled - skip));
            bytes += block.Filled - skip;
            skip = 0;
        }

        return bytes;
    }
}
