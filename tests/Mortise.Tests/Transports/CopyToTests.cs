using System.Buffers;
using System.IO.Pipelines;
using Xunit;

namespace Mortise.Tests.Transports;

/// <summary>Copying a connection's input into another pipe: the loop of every echo and every relay.</summary>
public sealed class CopyToTests
{
    private const int StreamBytes = 3 * 1024 * 1024;

    [Fact]
    public async Task A_copy_delivers_every_byte_in_order_and_ends_with_the_stream()
    {
        await using var pair = await TcpPair.OpenAsync();
        var stream = new byte[StreamBytes];
        new Random(20261121).NextBytes(stream);

        var echoing = EchoAsync(pair.Here);
        var sending = SendAndFinishAsync(pair.Peer, stream);
        var echo = await ReadToEndAsync(pair.Peer.Input).WaitAsync(TcpPair.Limit);
        await Task.WhenAll(echoing, sending).WaitAsync(TcpPair.Limit);

        Assert.True(stream.AsSpan().SequenceEqual(echo));
        Assert.Equal(0, pair.Here.BytesHeld);
    }

    [Fact]
    public async Task Bytes_that_were_examined_and_not_consumed_are_copied_too()
    {
        await using var pair = await TcpPair.OpenAsync();
        await pair.Peer.SendAsync("abc"u8.ToArray());
        var seen = await pair.Here.Input.ReadAsync().AsTask().WaitAsync(TcpPair.Limit);
        pair.Here.Input.AdvanceTo(seen.Buffer.GetPosition(1), seen.Buffer.End);
        var pipe = new Pipe();

        var copying = pair.Here.Input.CopyToAsync(pipe.Writer);
        Assert.False(copying.IsCompleted);
        await SendAndFinishAsync(pair.Peer, "def"u8.ToArray());
        await copying.WaitAsync(TcpPair.Limit);
        pipe.Writer.Complete();

        Assert.Equal("bcdef"u8.ToArray(), await ReadToEndAsync(pipe.Reader));
    }

    [Fact]
    public async Task A_cancelled_read_ends_the_copy_and_the_next_one_goes_on()
    {
        await using var pair = await TcpPair.OpenAsync();
        var pipe = new Pipe();
        var copying = pair.Here.Input.CopyToAsync(pipe.Writer, pair.Here.Closed);
        pair.Here.Input.CancelPendingRead();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => copying.WaitAsync(TcpPair.Limit));

        var again = pair.Here.Input.CopyToAsync(pipe.Writer, pair.Here.Closed);
        await SendAndFinishAsync(pair.Peer, "after"u8.ToArray());
        await again.WaitAsync(TcpPair.Limit);
        pipe.Writer.Complete();

        Assert.Equal("after"u8.ToArray(), await ReadToEndAsync(pipe.Reader));
    }

    [Fact]
    public async Task What_the_destination_refused_can_still_be_read()
    {
        await using var pair = await TcpPair.OpenAsync();
        await pair.Peer.SendAsync("kept"u8.ToArray());
        var refusing = new Pipe();
        refusing.Writer.Complete();

        await Assert.ThrowsAsync<InvalidOperationException>(
            () => pair.Here.Input.CopyToAsync(refusing.Writer).WaitAsync(TcpPair.Limit));
        var kept = await pair.Here.Input.ReadAsync().AsTask().WaitAsync(TcpPair.Limit);

        Assert.Equal("kept"u8.ToArray(), kept.Buffer.ToArray());
        pair.Here.Input.AdvanceTo(kept.Buffer.End);
    }

    [Fact]
    public async Task An_abort_ends_a_waiting_copy_with_the_reason()
    {
        await using var pair = await TcpPair.OpenAsync();
        var copying = pair.Here.Input.CopyToAsync(new Pipe().Writer);
        pair.Here.Abort(CloseReason.Idle);

        var error = await Assert.ThrowsAsync<ConnectionException>(() => copying.WaitAsync(TcpPair.Limit));
        Assert.Equal(CloseReason.Idle, error.CloseReason);
    }

    private static async Task EchoAsync(Connection connection)
    {
        await connection.Input.CopyToAsync(connection.Output, connection.Closed);
        await connection.ShutdownSendAsync();
    }

    private static async Task SendAndFinishAsync(Connection connection, byte[] bytes)
    {
        await connection.SendAsync(bytes);
        await connection.ShutdownSendAsync();
    }

    private static async Task<byte[]> ReadToEndAsync(PipeReader reader)
    {
        var all = new MemoryStream();
        await reader.CopyToAsync(all);
        return all.ToArray();
    }
}
