using System.IO.Pipelines;
using System.Net.Security;
using Mortise.Transports.Layers;
using Mortise.Transports.Pipes;

namespace Mortise.Tls;

/// <summary>
/// The encrypted form of a live connection: the same pipes as every wire has, over <see cref="TlsWire"/>. Whoever knows
/// the connection (its session, its groups, its server) does not notice.
/// </summary>
internal sealed class TlsLayer : ConnectionLayer, IWireOwner
{
    private readonly Connection _connection;
    private readonly TlsWire _wire;
    private readonly WireReader _reader;
    private readonly WireWriter _writer;
    private long _bytesReceived;
    private int _retired;

    public TlsLayer(Connection connection, SslStream stream, WireStream bytes, string? serverName)
    {
        _connection = connection;
        _wire = new TlsWire(connection, stream, bytes);
        _reader = new WireReader(this, connection, _wire, BlockPool.Shared);
        _writer = new WireWriter(this, connection, _wire, BlockPool.Shared);
        Tls = new TlsInfo(stream, serverName);
    }

    public override TlsInfo Tls { get; }

    public override PipeReader Input => _reader;

    public override PipeWriter Output => _writer;

    public override long BytesReceived => Volatile.Read(ref _bytesReceived);

    public override long BytesHeld => _reader.Held;

    public override long BytesQueued => _writer.Pending;

    public override bool IsSending => _writer.IsSending;

    public override bool PeerFinished => _wire.PeerFinished;

    public override void BeginMessage() => _writer.Gate.Enter();

    public override void EndMessage() => _writer.Gate.Exit();

    /// <summary>At home at once, where it costs nothing; elsewhere in a turn of its own.</summary>
    public override void FlushSoon()
    {
        if (!_connection.IsHomeThread || _writer.IsSending || _connection.CloseReason is not null)
            _writer.FlushSoon();
        else
            _ = FlushQuietlyAsync();
    }

    public override Task CloseAsync(TimeSpan timeout)
    {
        _reader.EndInput();
        var sent = _writer.CompleteAsync();
        return sent.IsCompletedSuccessfully ? Task.CompletedTask
            : sent.AsTask().WaitOrLeaveAsync(timeout, _connection.Time);
    }

    public override void Retire()
    {
        if (Interlocked.Exchange(ref _retired, 1) == 1)
            return;
        _writer.Break(_connection.EndedError("send"));
        _reader.Retire();
        _wire.Close(reset: true); // who waits to read is told by the wire, which knows more
    }

    /// <summary>
    /// Decrypted, as a frame's bytes are counted. The wire has counted what it received as it was encrypted.
    /// </summary>
    void IWireOwner.CountReceived(int bytes) => Volatile.Write(ref _bytesReceived, _bytesReceived + bytes);

    void IWireOwner.CountSent(int bytes)
    {
    }

    void IWireOwner.ShutdownSendNow()
    {
        try
        {
            _wire.ShutdownSend();
        }
        catch (Exception e) when (Wire.IsFailure(e))
        {
            // The connection is over: there is nobody left to tell, and reading says why.
        }
    }

    /// <summary>What the wire says about itself stands; anything else is a fault of the encrypted stream.</summary>
    Exception IWireOwner.Fail(string operation, Exception error)
    {
        if (error is ConnectionException ended)
            return ended;
        if (_connection.CloseReason is not null)
            return _connection.EndedError(operation);
        var failure = TlsFailures.Broken(operation, _connection, error);
        _connection.AbortFor(failure.CloseReason);
        return failure;
    }

    private async Task FlushQuietlyAsync()
    {
        try
        {
            await _writer.FlushAsync().ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // The connection is over; whoever reads or sends next is told why.
        }
    }
}
