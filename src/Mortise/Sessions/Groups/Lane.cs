using System.Collections.Concurrent;

namespace Mortise.Sessions.Groups;

/// <summary>
/// The way of broadcasts to the connections of one home. Where that is an event loop, one post carries what has come
/// meanwhile, and writing there takes no lock; without a home whoever broadcasts writes.
/// </summary>
/// <remarks>
/// In one turn of the loop at most <c>turnBytes</c> of messages are written, so that the kernel is offered the bytes
/// before a reader is found slow, and to few members: what they had written is sent before the next begin, and while
/// it is in the processor's caches. Each of them gets all messages that wait for it, so that they leave in one send.
/// </remarks>
internal sealed class Lane(Connection guide, long turnBytes)
{
    /// <summary>What waits for a loop that does not turn, before broadcasts to it are dropped.</summary>
    public const long WaitingBytesMax = 16 * 1024 * 1024;

    /// <summary>Members that are written to in one turn.</summary>
    private const int TurnMembers = 256;

    private readonly bool _hasHome = guide.Home is not null;
    private readonly ConcurrentQueue<Delivery> _waiting = new();

    /// <summary>Deliveries to one roll, whose first members have them all already.</summary>
    private readonly List<Delivery> _batch = [];
    private int _done;
    private long _waitingBytes;
    private long _writtenHere;
    private int _posted;

    /// <summary>Writes at once where nothing is overtaken, or sends the message on its way.</summary>
    public BroadcastResult Deliver(Delivery delivery)
    {
        if (!_hasHome || guide.IsHomeThread && MayWriteHere(delivery.Roll))
        {
            _writtenHere += delivery.Cost;
            foreach (var member in delivery.Roll.Members)
                delivery.To(member);
            delivery.End();
            return delivery.Result;
        }

        if (delivery.MayBeRefused && Volatile.Read(ref _waitingBytes) > WaitingBytesMax)
            return delivery.Refuse();
        var expected = delivery.Expected();
        Interlocked.Add(ref _waitingBytes, delivery.Cost);
        _waiting.Enqueue(delivery);
        Wake();
        return expected;
    }

    private bool MayWriteHere(Roll roll) => _batch.Count == 0 && _waiting.IsEmpty && _writtenHere < turnBytes
        && roll.Members.Length <= TurnMembers;

    private void Wake()
    {
        if (Interlocked.Exchange(ref _posted, 1) == 0)
            guide.Post(static l => ((Lane)l!).Run(), this);
    }

    private void Run()
    {
        Interlocked.Exchange(ref _posted, 0); // before the look: who comes after it posts again
        _writtenHere = _batch.Sum(d => d.Cost); // the rest of them get it now, and no more than a turn's worth
        for (var left = TurnMembers; left > 0 && (_batch.Count > 0 || TryTakeBatch());)
            left -= WriteBatch(left);
        if (_batch.Count > 0 || !_waiting.IsEmpty)
            Wake(); // in the loop's next turn
        else
            _writtenHere = 0;
    }

    /// <summary>As many for the same members as may be written now.</summary>
    private bool TryTakeBatch()
    {
        while (_writtenHere < turnBytes && _waiting.TryPeek(out var next)
            && (_batch.Count == 0 || next.Roll == _batch[0].Roll))
        {
            _waiting.TryDequeue(out _);
            _writtenHere += next.Cost;
            _batch.Add(next);
        }

        return _batch.Count > 0;
    }

    /// <summary>Writes all of the batch to at most so many more members; how many it were.</summary>
    private int WriteBatch(int membersMax)
    {
        var members = _batch[0].Roll.Members;
        var end = Math.Min(members.Length, _done + membersMax);
        var written = end - _done;
        for (; _done < end; _done++)
            foreach (var delivery in _batch)
                delivery.To(members[_done]);
        if (end < members.Length)
            return written;
        foreach (var delivery in _batch)
        {
            Interlocked.Add(ref _waitingBytes, -delivery.Cost);
            delivery.End();
        }

        _batch.Clear();
        _done = 0;
        return Math.Max(1, written);
    }
}
