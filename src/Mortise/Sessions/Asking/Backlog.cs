using System.Diagnostics.CodeAnalysis;
using System.Threading.Channels;

namespace Mortise.Sessions.Asking;

/// <summary>
/// Messages that were received while the handler was busy, bounded by their bytes on the wire. One adds, one takes.
/// </summary>
internal sealed class Backlog<T>(long bytesMax)
{
    /// <summary>What a waiting message costs besides its bytes, so that empty ones are bounded too.</summary>
    private const int MessageBytes = 64;

    private readonly Channel<(T Message, long Bytes)> _messages = Channel.CreateUnbounded<(T, long)>(
        new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private readonly Lock _gate = new();
    private TaskCompletionSource? _room;
    private long _bytes;
    private bool _left;

    /// <summary>The reader waits until half is free.</summary>
    public bool Stalls => Volatile.Read(ref _room) is not null;

    /// <summary>Nothing waits.</summary>
    public bool IsEmpty => Volatile.Read(ref _bytes) == 0;

    /// <summary>No more may be added now.</summary>
    public bool IsFull => Volatile.Read(ref _bytes) >= bytesMax;

    public void Add(T message, long bytes)
    {
        bytes += MessageBytes;
        Interlocked.Add(ref _bytes, bytes);
        _messages.Writer.TryWrite((message, bytes));
    }

    public bool TryTake([MaybeNullWhen(false)] out T message) => TryTake(out message, out _);

    /// <summary>The same, with what the message counted for.</summary>
    public bool TryTake([MaybeNullWhen(false)] out T message, out long bytes)
    {
        if (!_messages.Reader.TryRead(out var next))
        {
            (message, bytes) = (default, 0);
            return false;
        }

        (message, bytes) = (next.Message, next.Bytes - MessageBytes);
        if (Interlocked.Add(ref _bytes, -next.Bytes) <= bytesMax / 2 && Volatile.Read(ref _room) is not null)
            MakeRoom();
        return true;
    }

    /// <summary>False at the end; throws what <see cref="End"/> was given, after the last message.</summary>
    public ValueTask<bool> WaitAsync(CancellationToken cancellationToken) =>
        _messages.Reader.WaitToReadAsync(cancellationToken);

    /// <summary>Completes when half of the bytes are free again, or nobody takes any more.</summary>
    public Task RoomAsync()
    {
        lock (_gate)
        {
            if (_left || Volatile.Read(ref _bytes) <= bytesMax / 2)
                return Task.CompletedTask;
            var room = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Interlocked.Exchange(ref _room, room);
            // A taker that came between the look and this did not see it.
            if (Volatile.Read(ref _bytes) <= bytesMax / 2)
                _room = null;
            return _room is null ? Task.CompletedTask : room.Task;
        }
    }

    /// <summary>Nothing is added any more.</summary>
    public void End(Exception? fault) => _messages.Writer.TryComplete(fault);

    /// <summary>Nothing is taken any more.</summary>
    public void Leave()
    {
        lock (_gate)
            _left = true;
        MakeRoom();
    }

    private void MakeRoom()
    {
        lock (_gate)
        {
            _room?.SetResult();
            _room = null;
        }
    }
}
