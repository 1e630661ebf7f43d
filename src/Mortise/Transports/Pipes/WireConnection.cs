using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using Mortise.Errors;

namespace Mortise.Transports.Pipes;

/// <summary>A connection over a <see cref="Wire"/>: joins the two pipes and ends them together.</summary>
internal sealed class WireConnection : Connection, IWireOwner
{
    private readonly Wire _wire;
    private readonly BlockPool _pool;
    private readonly WireReader _reader;
    private readonly WireWriter _writer;
    private readonly Lock _closeGate = new();
    private Task? _closing;

    public WireConnection(Wire wire, Endpoint local, Endpoint remote, TimeProvider? time = null, BlockPool? pool = null)
        : base(local, remote, time ?? TimeProvider.System)
    {
        _wire = wire;
        _pool = pool ?? BlockPool.Shared;
        _reader = new WireReader(this, this, wire, _pool);
        _writer = new WireWriter(this, this, wire, _pool);
    }

    internal override PipeReader WireInput => _reader;

    internal override PipeWriter WireOutput => _writer;

    internal override long WireBytesHeld => _reader.Held;

    internal override long WireBytesQueued => _writer.Pending;

    internal override bool IsWireSending => _writer.IsSending;

    internal override Socket? Socket => _wire.Socket;

    internal override void BeginWireMessage() => _writer.Gate.Enter();

    internal override void EndWireMessage() => _writer.Gate.Exit();

    internal override void FlushWireSoon() => _writer.FlushSoon();

    internal override bool IsWireClosing => Volatile.Read(ref _closing) is not null;

    internal override void EndInputFor(CloseReason reason)
    {
        NoteInputEnd(reason);
        _reader.EndInput();
    }

    internal override void AbortFor(CloseReason reason)
    {
        if (TryEnd(reason))
            Release(reset: true);
    }

    /// <summary>Only the first call closes; the others wait with it.</summary>
    internal override ValueTask CloseWireAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        lock (_closeGate)
            return new(_closing ??= CloseOnceAsync(reason, flushTimeout, linger));
    }

    private async Task CloseOnceAsync(CloseReason reason, TimeSpan flushTimeout, TimeSpan linger)
    {
        if (CloseReason is not null)
            return;
        _reader.EndInput();
        try
        {
            await _writer.CompleteAsync().AsTask().WaitOrLeaveAsync(flushTimeout, Time).ConfigureAwait(false);
            // A read that still waits was woken by EndInput and takes what is there itself.
            if (_reader.Retire())
                await DiscardInputAsync(linger).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            AbortFor(Mortise.CloseReason.WriteStalled);
            return;
        }
        catch (Exception e) when (e is ConnectionException or SocketException or ObjectDisposedException)
        {
            // The peer or an abort ended it first; TryEnd below keeps that first reason.
        }

        if (TryEnd(Explained(reason, _reader.PeerFinished)))
            Release(reset: false);
    }

    void IWireOwner.CountReceived(int bytes) => CountReceived(bytes);

    void IWireOwner.CountSent(int bytes) => CountSent(bytes);

    /// <summary>Records a failure of the wire, ends the connection, and gives the exception to throw.</summary>
    public Exception Fail(string operation, Exception error)
    {
        if (CloseReason is not null || error is not SocketException socketError)
            return EndedError(operation);
        var failure = Failures.Transfer(operation, RemoteEndpoint.ToString(), socketError);
        if (TryEnd(failure.CloseReason))
            Release(reset: true, failure);
        return failure;
    }

    public void ShutdownSendNow()
    {
        try
        {
            _wire.ShutdownSend();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // ENOTCONN after the peer's reset: there is nobody left to tell, and reading reports the reset.
        }
    }

    private async Task DiscardInputAsync(TimeSpan linger)
    {
        var start = Time.GetTimestamp();
        try
        {
            for (long discarded = 0; !_reader.PeerFinished && discarded < DiscardedBytesMax;)
            {
                var received = DiscardSome();
                var left = linger - Time.GetElapsedTime(start);
                if (received == 0 || received < 0 && left <= TimeSpan.Zero)
                    return;
                if (received > 0)
                    discarded += received;
                else
                    await _wire.WaitReadableAsync().AsTask().WaitOrLeaveAsync(left, Time).ConfigureAwait(false);
            }
        }
        catch (TimeoutException)
        {
            // The peer keeps its side open; it had its time.
        }
    }

    /// <summary>Thousands of connections may linger at once, and none needs a buffer to wait.</summary>
    private int DiscardSome()
    {
        var scrap = _pool.Rent(DiscardBytes);
        try
        {
            return _wire.TryReceive(scrap.FreeMemory);
        }
        finally
        {
            _pool.Return(scrap);
        }
    }

    /// <summary>Only for the caller to whom <see cref="Connection.TryEnd"/> said true, so it runs once.</summary>
    private void Release(bool reset, Exception? fault = null)
    {
        _writer.Break(fault ?? EndedError("send"));
        _wire.Close(reset);
        _wire.WakeReader();
        _reader.Retire();
        RetireLayer();
        TellOwner();
        _wire.Post(static c => c.AnnounceEnd(), this);
    }
}
