using System.Collections.Concurrent;

namespace Mortise.Sessions.Groups;

/// <summary>
/// The way of broadcasts to the connections of one home. Where that is an event loop, one post carries what has come
/// meanwhile, and writing there takes no lock; without a home whoever broadcasts writes.
/// </summary>
/// <remarks>
/// At most <c>turnBytes</c> of messages are written in one turn of the loop: between them the kernel is offered the
/// bytes, and no reader is found slow that was never asked.
/// </remarks>
internal sealed class Lane(Connection guide, long turnBytes)
{
    /// <summary>What waits for a loop that does not turn, before broadcasts to it are dropped.</summary>
    public const long WaitingBytesMax = 16 * 1024 * 1024;

    private readonly bool _hasHome = guide.Home is not null;
    private readonly ConcurrentQueue<Delivery> _waiting = new();
    private long _waitingBytes;
    private long _writtenHere;
    private int _posted;

    /// <summary>Writes at once where nothing is overtaken, or sends the message on its way.</summary>
    public BroadcastResult Deliver(Delivery delivery)
    {
        if (!_hasHome || guide.IsHomeThread && _waiting.IsEmpty && _writtenHere < turnBytes)
        {
            _writtenHere += delivery.Cost;
            return delivery.Run();
        }

        if (delivery.MayBeRefused && Volatile.Read(ref _waitingBytes) > WaitingBytesMax)
            return delivery.Refuse();
        var expected = delivery.Expected();
        Interlocked.Add(ref _waitingBytes, delivery.Cost);
        _waiting.Enqueue(delivery);
        Wake();
        return expected;
    }

    private void Wake()
    {
        if (Interlocked.Exchange(ref _posted, 1) == 0)
            guide.Post(static l => ((Lane)l!).Run(), this);
    }

    private void Run()
    {
        Interlocked.Exchange(ref _posted, 0); // before the look: who comes after it posts again
        for (_writtenHere = 0; _writtenHere < turnBytes && _waiting.TryDequeue(out var delivery);)
        {
            Interlocked.Add(ref _waitingBytes, -delivery.Cost);
            _writtenHere += delivery.Cost;
            delivery.Run();
        }

        if (!_waiting.IsEmpty)
            Wake(); // in the loop's next turn
        else
            _writtenHere = 0;
    }
}
