using System.Buffers;
using Mortise.Sessions.Asking;

namespace Mortise.Returning;

/// <summary>
/// Something that waits for a connection. It is in the list until it was written, and then never again.
/// </summary>
internal abstract class Held<T>
{
    protected Held() => Node = new(this);

    public LinkedListNode<Held<T>> Node { get; }

    /// <summary>Writes it; false when the connection is over, and then none of it leaves.</summary>
    public abstract bool TryGo(Link<T> link);

    /// <summary>The kernel has taken it.</summary>
    public abstract void Sent();

    public abstract void Lost(UndeliveredException why);
}

/// <summary>A message that a caller holds, and waits for.</summary>
internal sealed class HeldMessage<T>(T message) : Held<T>
{
    private readonly TaskCompletionSource _end = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task End => _end.Task;

    public override bool TryGo(Link<T> link)
    {
        try
        {
            return link.TryWrite(message);
        }
        catch (Exception e)
        {
            _end.TrySetException(e); // the codec refuses it: its sender's matter, and no reason to hold up the others
            return true;
        }
    }

    public override void Sent() => _end.TrySetResult();

    public override void Lost(UndeliveredException why) => _end.TrySetException(why);

    public void Cancel(OperationCanceledException why) => _end.TrySetException(why);
}

/// <summary>A request that a caller waits for, in its place among the messages.</summary>
internal sealed class HeldRequest<T>(T message, Func<TimeSpan> timeLeft, CancellationToken cancellationToken)
    : Held<T>
{
    private readonly TaskCompletionSource<(Link<T>, Request<T>)> _way =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The request on its way.</summary>
    public Task<(Link<T> Link, Request<T> Request)> Way => _way.Task;

    public override bool TryGo(Link<T> link)
    {
        try
        {
            if (link.TryAsk(message, timeLeft(), cancellationToken) is not { } request)
                return false;
            _way.TrySetResult((link, request));
        }
        catch (Exception e)
        {
            _way.TrySetException(e);
        }

        return true;
    }

    public override void Sent()
    {
        // Its reply is waited for.
    }

    public override void Lost(UndeliveredException why) => _way.TrySetException(why);
}

/// <summary>Encoded messages that nobody waits for, as many as leave together.</summary>
internal sealed class HeldBytes<T>(Action<SendOutcome, int> lost) : Held<T>, IBufferWriter<byte>
{
    private const int BytesMax = 64 * 1024;

    private byte[] _bytes = new byte[256];
    private int _messages;

    /// <summary>Bytes of whole messages.</summary>
    public int Bytes { get; private set; }

    /// <summary>Another would make it too large to lose at a time.</summary>
    public bool IsFull => Bytes >= BytesMax;

    /// <summary>Adds a message if it has no more than <paramref name="bytesMax"/> bytes; how many it has.</summary>
    public int Add(T message, Codec<T> codec, long bytesMax)
    {
        var before = Bytes;
        try
        {
            codec.Write(message, this);
        }
        catch
        {
            Bytes = before;
            throw;
        }

        var added = Bytes - before;
        if (added > bytesMax)
            Bytes = before;
        else
            _messages++;
        return added;
    }

    public override bool TryGo(Link<T> link) => link.TryWrite(_bytes.AsSpan(0, Bytes));

    public override void Sent()
    {
        // Nobody waits.
    }

    public override void Lost(UndeliveredException why) => lost(why.Outcome, _messages);

    public void Advance(int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(count, _bytes.Length - Bytes);
        Bytes += count;
    }

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        var needed = Bytes + Math.Max(sizeHint, 1);
        if (needed > _bytes.Length)
            Array.Resize(ref _bytes, Math.Max(needed, _bytes.Length * 2));
        return _bytes.AsMemory(Bytes);
    }

    public Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;
}
