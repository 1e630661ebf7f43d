using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>
/// Sends the packets of one socket in the order of their coming, many at once where many wait. Who flushes while nobody
/// sends, sends on his own stack; the others join him.
/// </summary>
internal abstract class PacketSender(int packetsAtOnce, BlockPool pool)
{
    private readonly Lock _gate = new();
    private readonly Queue<Outgoing> _waiting = [];
    private readonly Queue<(long UpTo, TaskCompletionSource Gone)> _flushes = [];
    private readonly Outgoing[] _taken = new Outgoing[packetsAtOnce];
    private long _added, _gone;
    private bool _sending;

    /// <summary>The block is the sender's from now on; the number to wait for.</summary>
    public long Add(PacketConnection connection, Block block)
    {
        lock (_gate)
        {
            _waiting.Enqueue(new(connection, block));
            return ++_added;
        }
    }

    /// <summary>Ends when the kernel has taken or refused everything up to this number.</summary>
    public ValueTask GoneAsync(long upTo)
    {
        lock (_gate)
        {
            if (_gone >= upTo)
                return default;
            if (_sending)
            {
                var flush = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _flushes.Enqueue((_added, flush));
                return new(flush.Task);
            }

            _sending = true;
        }

        return RunAsync(upTo);
    }

    /// <summary>Sends what waits from the thread pool, where more may have come to it by then.</summary>
    public void SendSoon()
    {
        lock (_gate)
        {
            if (_sending || _waiting.Count == 0)
                return;
            _sending = true;
        }

        RunSoon();
    }

    /// <summary>Tries each packet, and tells its connection what became of it; it does not throw.</summary>
    protected abstract ValueTask SendAsync(ReadOnlyMemory<Outgoing> packets);

    private void RunSoon() =>
        ThreadPool.UnsafeQueueUserWorkItem(static s => _ = s.RunAsync(long.MaxValue), this, preferLocal: false);

    private async ValueTask RunAsync(long upTo)
    {
        while (true)
        {
            var count = Take();
            if (count == 0)
                return;
            await SendAsync(_taken.AsMemory(0, count)).ConfigureAwait(false);
            for (var i = 0; i < count; i++)
                pool.Return(_taken[i].Block);
            Array.Clear(_taken, 0, count);
            if (!IsDone(count, upTo))
                continue;
            RunSoon(); // the rest is not the affair of who waited for so much only
            return;
        }
    }

    /// <summary>The next packets; where there are none nobody sends any more.</summary>
    private int Take()
    {
        lock (_gate)
        {
            var count = 0;
            while (count < _taken.Length && _waiting.TryDequeue(out _taken[count]))
                count++;
            _sending = count > 0;
            return count;
        }
    }

    /// <summary>True where the caller has what he waits for, and others have not.</summary>
    private bool IsDone(int count, long upTo)
    {
        lock (_gate)
        {
            _gone += count;
            while (_flushes.TryPeek(out var flush) && flush.UpTo <= _gone)
                _flushes.Dequeue().Gone.SetResult();
            return _gone >= upTo && _waiting.Count > 0;
        }
    }

    /// <summary>A packet on its way out.</summary>
    protected internal readonly record struct Outgoing(PacketConnection Connection, Block Block)
    {
        public ReadOnlyMemory<byte> Bytes => Block.Bytes.AsMemory(0, Block.Filled);
    }
}
