using System.Buffers;
using System.Runtime.CompilerServices;
using Mortise.Sessions.Asking;

namespace Mortise.Returning;

/// <summary>
/// One connection as its senders see it. Who is under way in it is counted, so that it is closed when nobody is, and
/// nothing is written to a connection that is being closed.
/// </summary>
internal sealed class Link<T>(Session<T> session)
{
    private const int Closed = int.MinValue;

    private readonly TaskCompletionSource _left = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _underWay;

    public string At => session.RemoteEndpoint.ToString();

    /// <summary>Bytes written that the kernel has not taken.</summary>
    public long BytesQueued => session.Connection.BytesQueued;

    /// <summary>The peer reads too slowly: what was written goes first.</summary>
    public bool IsFull => BytesQueued >= session.QueueBytesMax;

    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _underWay) > 0)
            return true;
        Exit();
        return false;
    }

    public void Exit()
    {
        if (Interlocked.Decrement(ref _underWay) == Closed)
            _left.TrySetResult();
    }

    /// <summary>Nobody enters any more; completes when all have left.</summary>
    public Task CloseAsync()
    {
        if ((Interlocked.Or(ref _underWay, Closed) & int.MaxValue) == 0)
            _left.TrySetResult();
        return _left.Task;
    }

    /// <summary>Writes a message; false when the connection is over, and then none of it leaves.</summary>
    /// <exception cref="FrameException">The rule cannot carry it; nothing was written.</exception>
    public bool TryWrite(T message)
    {
        try
        {
            session.Write(message);
            return true;
        }
        catch (ConnectionException)
        {
            return false; // for whoever comes first to the next connection
        }
    }

    /// <summary>The same for messages that are encoded already.</summary>
    public bool TryWrite(ReadOnlySpan<byte> frames)
    {
        try
        {
            session.Connection.BeginMessage();
            try
            {
                session.Connection.Output.Write(frames);
            }
            finally
            {
                session.Connection.EndMessage();
            }

            return true;
        }
        catch (ConnectionException)
        {
            return false;
        }
    }

    /// <summary>Enters and writes; <see cref="SentAsync"/> leaves again.</summary>
    public bool TrySend(T message)
    {
        if (!TryEnter())
            return false;
        var written = false;
        try
        {
            return written = TryWrite(message);
        }
        finally
        {
            if (!written)
                Exit();
        }
    }

    /// <summary>Completes when the kernel has taken what was written.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    public async ValueTask SentAsync(CancellationToken cancellationToken)
    {
        try
        {
            await session.Connection.FlushWhollyAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (ConnectionException e)
        {
            throw Undelivered.Unknown("send", At, e);
        }
        catch (OperationCanceledException)
        {
            throw Undelivered.Cancelled("send", At, SendOutcome.Unknown, cancellationToken);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>
    /// Enters and sends a request, and <see cref="ReplyAsync"/> leaves again; null when the connection is over, and
    /// then none of it leaves.
    /// </summary>
    public Request<T>? TryAsk(T message, TimeSpan timeout, CancellationToken cancellationToken)
    {
        if (!TryEnter())
            return null;
        Request<T>? request = null;
        try
        {
            var asked = session.Ask(message, timeout, cancellationToken);
            if (asked.IsSent || asked.Task.Exception?.InnerException is not ConnectionException)
                request = asked;
            return request;
        }
        finally
        {
            if (request is null)
                Exit(); // also after what nobody expects: who is counted for ever keeps the client from coming back
        }
    }

    /// <summary>The reply, or why there is none.</summary>
    public async Task<T> ReplyAsync(Request<T> request, CancellationToken cancellationToken)
    {
        try
        {
            return await request.Task.ConfigureAwait(false);
        }
        catch (ConnectionException e)
        {
            throw Undelivered.Unknown("request", At, e);
        }
        catch (OperationCanceledException)
        {
            throw Undelivered.Cancelled("request", At,
                request.IsSent ? SendOutcome.Unknown : SendOutcome.NeverSent, cancellationToken);
        }
        finally
        {
            Exit();
        }
    }

    /// <summary>Waits until what was written before has gone; the end of the connection ends the wait.</summary>
    /// <exception cref="TimeoutException">The peer took nothing for so long.</exception>
    public async ValueTask RoomAsync(TimeSpan timeout, TimeProvider time, CancellationToken cancellationToken)
    {
        if (!TryEnter())
            return;
        try
        {
            await session.Connection.FlushWhollyAsync(default).AsTask().WaitAsync(timeout, time, cancellationToken)
                .ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // The request is not written yet: the next connection may carry it.
        }
        finally
        {
            Exit();
        }
    }
}
