using Mortise.Sessions.Asking;

namespace Mortise.Returning;

/// <summary>
/// The door between a client's users and its connections. Open, messages go straight to the <see cref="Link"/>; shut,
/// they are held, refused or kept as <see cref="WhileDown"/> says. Those held go first, in order, before it opens.
/// </summary>
/// <remarks>
/// One lock guards the list: what is in it was not written. It is taken out in the moment it is written, so that a
/// cancellation knows which of the two it was.
/// </remarks>
internal sealed class Holding<T>(Codec<T> codec, SocketClientOptions<T> options, string at)
{
    private const int BatchBytesMax = 64 * 1024;

    private readonly Lock _gate = new();
    private readonly LinkedList<Held<T>> _held = [];
    private readonly TimeProvider _time = options.Transport.Time;
    private volatile Link<T>? _link;
    private Exception? _why;
    private long _keptBytes;
    private int _calls;
    private bool _isLeaving;

    /// <summary>The open connection, or null.</summary>
    public Link<T>? Link => _link;

    /// <summary>Called when a call is given up and with it <see cref="IsDone"/> became true.</summary>
    public Action? Done { get; set; }

    /// <summary>The users have left, and nothing of theirs is held.</summary>
    public bool IsDone
    {
        get
        {
            lock (_gate)
                return _isLeaving && _held.Count == 0;
        }
    }

    /// <summary>A message that found no open connection.</summary>
    public ValueTask SendAsync(T message, CancellationToken cancellationToken)
    {
        HeldMessage<T> held;
        lock (_gate)
        {
            if (_isLeaving)
                throw Undelivered.Disposed("send", at, _why);
            if (_link is { } link && link.TrySend(message))
                return link.SentAsync(cancellationToken);
            if (!options.WhileDown.Holds)
                throw Undelivered.Down("send", at, _why);
            if (options.WhileDown.BufferBytesMax is { } bytesMax)
            {
                Keep(message, bytesMax);
                return default;
            }

            held = new HeldMessage<T>(message);
            Hold("send", held);
        }

        return new(WaitAsync(held, cancellationToken));
    }

    /// <summary>A request that found no open connection.</summary>
    public async Task<(Link<T> Link, Request<T> Request)> AskAsync(T message, TimeSpan timeout,
        CancellationToken cancellationToken)
    {
        var began = _time.GetTimestamp();
        TimeSpan Left() => timeout == Timeout.InfiniteTimeSpan ? timeout
            : timeout - _time.GetElapsedTime(began) is var left && left > TimeSpan.Zero ? left : TimeSpan.FromTicks(1);

        HeldRequest<T> held;
        lock (_gate)
        {
            if (_isLeaving)
                throw Undelivered.Disposed("request", at, _why);
            if (_link is { } link && link.TryAsk(message, timeout, cancellationToken) is { } request)
                return (link, request);
            if (!options.WhileDown.Holds)
                throw Undelivered.Down("request", at, _why);
            held = new HeldRequest<T>(message, Left, cancellationToken);
            Hold("request", held);
        }

        try
        {
            return await held.Way.WaitAsync(timeout, _time, cancellationToken).ConfigureAwait(false);
        }
        catch (TimeoutException) when (TryTakeBack(held))
        {
            throw Undelivered.Late(at, timeout, _why);
        }
        catch (OperationCanceledException) when (TryTakeBack(held))
        {
            throw Undelivered.Cancelled("request", at, SendOutcome.NeverSent, cancellationToken);
        }
        catch (Exception) when (TryTakeBack(held))
        {
            throw; // whatever it is, who is told that it failed does not want it sent
        }
        catch (Exception)
        {
            return await held.Way.ConfigureAwait(false); // written in the same moment: its own time is over; or lost
        }
    }

    /// <summary>
    /// Sends what is held and opens the door; it stays shut when the connection ends meanwhile, or the users have left.
    /// </summary>
    public async Task OpenAsync(Link<T> link)
    {
        var batch = new List<Held<T>>();
        while (true)
        {
            lock (_gate)
            {
                if (!link.TryEnter())
                    return;
                var goes = true;
                while (_held.First is { Value: var next } && link.BytesQueued < BatchBytesMax
                    && (goes = next.TryGo(link)))
                {
                    Remove(next);
                    batch.Add(next);
                    if (next is HeldBytes<T>)
                        break; // no more of them than that can be lost together
                }

                if (batch.Count == 0 && (!goes || _held.Count == 0))
                {
                    link.Exit();
                    if (goes && !_isLeaving)
                        _link = link;
                    return;
                }
            }

            await FlushAsync(batch, link).ConfigureAwait(false);
            batch.Clear();
        }
    }

    /// <summary>Shuts the door: there is no connection, because of this.</summary>
    public void Shut(Exception? why)
    {
        lock (_gate)
            (_link, _why) = (null, why ?? _why);
    }

    /// <summary>The users have left: nothing more is accepted.</summary>
    public void Leave()
    {
        lock (_gate)
            (_link, _isLeaving) = (null, true);
    }

    /// <summary>No connection comes any more.</summary>
    public void Drop()
    {
        Held<T>[] left;
        lock (_gate)
        {
            _isLeaving = true;
            left = [.. _held];
            _held.Clear();
        }

        foreach (var held in left)
            held.Lost(Undelivered.Disposed(held is HeldRequest<T> ? "request" : "send", at, _why));
    }

    private static async Task FlushAsync(List<Held<T>> batch, Link<T> link)
    {
        try
        {
            await link.SentAsync(default).ConfigureAwait(false);
            foreach (var sent in batch)
                sent.Sent();
        }
        catch (UndeliveredException e)
        {
            foreach (var lost in batch)
                lost.Lost(e);
        }
    }

    private async Task WaitAsync(HeldMessage<T> held, CancellationToken cancellationToken)
    {
        using var patience = cancellationToken.UnsafeRegister((_, token) => held.Cancel(Undelivered.Cancelled("send",
            at, TryTakeBack(held) ? SendOutcome.NeverSent : SendOutcome.Unknown, token)), null);
        await held.End.ConfigureAwait(false);
    }

    private void Hold(string operation, Held<T> held)
    {
        if (_calls >= WhileDown.CallsMax)
            throw Undelivered.TooMany(operation, at, _why);
        _calls++;
        _held.AddLast(held.Node);
    }

    private void Keep(T message, long bytesMax)
    {
        var last = _held.Last?.Value is HeldBytes<T> { IsFull: false } open ? open : new HeldBytes<T>(Tell);
        var bytes = last.Add(message, codec, bytesMax - _keptBytes);
        if (bytes > bytesMax - _keptBytes)
            throw Undelivered.Full(at, bytes, _keptBytes, bytesMax, _why);
        _keptBytes += bytes;
        if (last.Node.List is null)
            _held.AddLast(last.Node);
    }

    private bool TryTakeBack(Held<T> held)
    {
        lock (_gate)
        {
            if (held.Node.List is null)
                return false;
            Remove(held);
        }

        if (IsDone)
            Done?.Invoke();
        return true;
    }

    private void Remove(Held<T> held)
    {
        _held.Remove(held.Node);
        if (held is HeldBytes<T> kept)
            _keptBytes -= kept.Bytes;
        else
            _calls--;
    }

    private void Tell(SendOutcome outcome, int messages)
    {
        try
        {
            options.OnLost?.Invoke(outcome, messages);
        }
        catch (Exception)
        {
            // The user's; the client goes on without it.
        }
    }
}
