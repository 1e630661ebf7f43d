using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using Mortise.Sessions.Rates;
using Mortise.Telemetry;

namespace Mortise.Sessions;

/// <summary>
/// Takes whole frames off a connection and decodes them. The bytes of a frame stay where they were received until the
/// next <see cref="FillAsync"/>, so a decoded message may borrow them until then; where messages are kept longer
/// (<paramref name="keeps"/>), they own theirs.
/// </summary>
internal sealed class MessageReader<T>(Connection connection, Codec<T> codec, bool keeps)
{
    private readonly Throttle? _throttle = Throttle.Of(connection);
    private ReadOnlySequence<byte> _buffer;
    private FrameScan _scan;
    private bool _reading;
    private bool _ended;
    private bool _isHeldBack;

    /// <summary>Bytes that the last message took on the wire; only where messages are kept.</summary>
    public long FrameBytes { get; private set; }

    /// <summary>
    /// The next message that is already here; false when more bytes are needed, or its time has not come.
    /// </summary>
    /// <exception cref="FrameException">The bytes break the rule, or the stream ended inside a frame.</exception>
    public bool TryNext(out T message)
    {
        try
        {
            if (TryDecode(out message))
                return true;
            if (connection.IsDatagram && _scan.Begun && !_isHeldBack)
                DropRest();
            return false;
        }
        catch (FrameException) when (connection.IsDatagram)
        {
            // Anybody can send such a datagram in a peer's name: it is dropped, and the session goes on.
            DropRest();
            message = default!;
            return false;
        }
        catch (FrameException e)
        {
            e.At(connection.RemoteEndpoint.ToString()); // framing knows no sockets
            throw;
        }
    }

    /// <summary>Gives back what was consumed and waits for more bytes; false at the end of the stream.</summary>
    public ValueTask<bool> FillAsync(CancellationToken cancellationToken) => _throttle is { IsWaiting: true }
        ? FillInTimeAsync(_throttle, cancellationToken) : ReceiveAsync(cancellationToken);

    /// <summary>The same where something lacks: who waits at home comes back there.</summary>
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> FillInTimeAsync(Throttle throttle, CancellationToken cancellationToken)
    {
        if (_ended && !_isHeldBack)
        {
            connection.FrameBegunAt = -1;
            return false;
        }

        if (!_isHeldBack)
            GiveBack();
        // While nobody reads, a frame that is not whole yet is not the peer's fault.
        var begunAt = connection.FrameBegunAt;
        connection.FrameBegunAt = -1;
        try
        {
            if (_isHeldBack)
            {
                await throttle.WaitForMessageAsync(cancellationToken).ConfigureAwait(true);
                _isHeldBack = false; // and it stays so for the next receive where this one was cancelled
                begunAt = -1;
                return true;
            }

            await throttle.WaitForBytesAsync(cancellationToken).ConfigureAwait(true);
        }
        finally
        {
            connection.FrameBegunAt = begunAt;
        }

        return await ReceiveAsync(cancellationToken).ConfigureAwait(false);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))] // a wait for each read, without an allocation
    private async ValueTask<bool> ReceiveAsync(CancellationToken cancellationToken)
    {
        if (_ended)
            return false;
        GiveBack();
        var result = await connection.Input.ReadAsync(cancellationToken).ConfigureAwait(false);
        _buffer = result.Buffer;
        _reading = true;
        _ended = result.IsCompleted;
        if (_throttle?.CountBytes(_buffer.Length) == false)
            connection.ThrowIfEnded("receive");
        return true;
    }

    private void GiveBack()
    {
        if (!_reading)
            return;
        // The server's watch times a frame from its first byte.
        connection.FrameBegunAt = _buffer.IsEmpty ? -1 : connection.InputBytesReceived - _buffer.Length;
        if (_throttle is not null)
            _throttle.BytesSeen = _buffer.Length;
        connection.Input.AdvanceTo(_buffer.Start, _buffer.End);
        _reading = false;
    }

    private bool TryDecode(out T message)
    {
        _isHeldBack = _throttle is { HasMessage: false };
        if (_isHeldBack)
        {
            message = default!;
            return false;
        }

        if (_reading && (keeps ? TryReadKept(out message) : codec.TryRead(ref _buffer, ref _scan, out message)
            || IsLast && codec.TryReadLast(ref _buffer, ref _scan, out message)))
        {
            connection.FramesReceived++;
            // Whole: from here on its time is the handler's, not the peer's.
            connection.FrameBegunAt = -1;
            if (_throttle?.CountMessage() == false)
                connection.ThrowIfEnded("receive");
            return true;
        }

        message = default!;
        return false;
    }

    private bool TryReadKept(out T message)
    {
        message = default!;
        var before = _buffer.Length;
        if (!codec.Framing.TryRead(ref _buffer, ref _scan, out var payload)
            && !(IsLast && codec.Framing.TryReadLast(ref _buffer, ref _scan, out payload)))
        {
            return false;
        }

        FrameBytes = before - _buffer.Length;
        message = codec.Decode(codec.Borrows ? new ReadOnlySequence<byte>(payload.ToArray()) : payload);
        return true;
    }

    /// <summary>No byte will follow those that are here: a frame is not continued in another packet.</summary>
    private bool IsLast => _ended || connection.KeepsBoundaries && !connection.IsDatagram;

    private void DropRest()
    {
        connection.CountDropped(DropReason.BadFrame);
        _buffer = _buffer.Slice(_buffer.End);
        _scan = default;
    }
}
