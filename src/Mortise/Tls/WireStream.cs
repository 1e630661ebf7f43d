using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Mortise.Tls;

/// <summary>
/// The encrypted bytes of a connection, as <see cref="System.Net.Security.SslStream"/> wants them. A read of zero bytes
/// waits without a buffer. Writes only queue on the wire and never wait: who sends has looked for room before.
/// </summary>
/// <remarks>
/// While a handshake goes on (<see cref="Handshake"/>), what was written leaves at once, and who waited for bytes goes
/// on with them on the thread pool: the arithmetic of a handshake takes a loop away from all its other connections.
/// </remarks>
internal sealed class WireStream(Connection connection) : Stream
{
    /// <summary>The handshake that goes on, or null.</summary>
    public Handshake? Handshake { get; set; }

    /// <summary>The wire ended, and something was still expected.</summary>
    public bool Ended { get; private set; }

    public override bool CanRead => true;

    public override bool CanWrite => true;

    public override bool CanSeek => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        var read = connection.WireInput.ReadAsync(cancellationToken);
        return read.IsCompletedSuccessfully ? new(Take(read.Result, buffer))
            : WaitAsync(read, buffer, cancellationToken);
    }

    public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
    {
        Write(buffer.Span);
        return Handshake is null ? default : connection.FlushWireAsync(cancellationToken);
    }

    public override void Write(ReadOnlySpan<byte> buffer) =>
        ((Framing.IGatheringOutput)connection.WireOutput).Write(default, buffer, default);

    public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

    public override void Flush()
    {
    }

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<int> WaitAsync(ValueTask<ReadResult> read, Memory<byte> buffer,
        CancellationToken cancellationToken)
    {
        ReadResult result;
        if (Handshake is { } handshake)
        {
            handshake.Leave();
            result = await read.ConfigureAwait(false);
            await handshake.EnterAsync(cancellationToken).ConfigureAwait(false);
        }
        else
        {
            result = await read.ConfigureAwait(false);
        }

        return Take(result, buffer);
    }

    private int Take(in ReadResult result, Memory<byte> buffer)
    {
        if (result.Buffer.IsEmpty)
            Ended |= !buffer.IsEmpty;
        else
            Handshake?.Look(result.Buffer);
        var part = result.Buffer.Slice(0, Math.Min(buffer.Length, result.Buffer.Length));
        part.CopyTo(buffer.Span);
        var taken = (int)part.Length; // afterwards the blocks, and their lengths, are somebody else's
        connection.WireInput.AdvanceTo(part.End, part.End);
        return taken;
    }
}
