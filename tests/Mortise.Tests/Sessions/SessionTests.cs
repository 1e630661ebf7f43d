using System.Buffers;
using Mortise.Tests.Conformance;
using Mortise.Transports.Pipes;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>The contract of a session, seen at a wire that counts what reaches it.</summary>
[Collection("alone")]
public sealed class SessionTests
{
    private static readonly Codec<string> Lines = Codec.Lines();

    [Fact]
    public async Task Replies_of_a_batch_leave_in_one_send()
    {
        var wire = new CountingWire("a\nb\nc\nd\ne\n"u8.ToArray());
        var session = new Session<string>(Over(wire), Lines);
        await session.RunAsync((s, line) => s.SendAsync(line.ToUpperInvariant()));
        Assert.Equal("A\nB\nC\nD\nE\n", wire.Text);
        Assert.Equal(1, wire.Sends);
    }

    [Fact]
    public async Task A_handler_that_waits_does_not_hold_back_earlier_replies()
    {
        var wire = new CountingWire("first\nsecond\nthird\n"u8.ToArray());
        var session = new Session<string>(Over(wire), Lines);
        var gate = new TaskCompletionSource();
        var running = session.RunAsync(async (s, line) =>
        {
            if (line == "second")
                await gate.Task;
            await s.SendAsync(line);
        });
        Assert.Equal("first\n", wire.Text);
        gate.SetResult();
        await running.InTime();
        Assert.Equal("first\nsecond\nthird\n", wire.Text);
        Assert.Equal(3, wire.Sends); // the batch so far, the reply of the handler that waited, the rest
    }

    [Fact]
    public async Task A_codec_that_throws_half_way_leaves_no_half_message()
    {
        var codec = Codec.Create<string>(Framing.Parse("line"), f => "", (text, output) =>
        {
            output.Write("half"u8);
            if (text == "bad")
                throw new InvalidOperationException("no such message");
        });
        var wire = new CountingWire([]);
        var session = new Session<string>(Over(wire), codec);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await session.SendAsync("bad"));
        await session.SendAsync("good");
        Assert.Equal("half\n", wire.Text);
    }

    [Fact]
    public async Task A_stream_that_ends_inside_a_frame_is_an_error_with_its_numbers()
    {
        var session = new Session<ReadOnlyMemory<byte>>(Over(new CountingWire([0, 0, 0, 9, 1, 2])),
            Codec.LengthPrefixed());
        var error = await Assert.ThrowsAsync<FrameException>(
            () => session.RunAsync((_, _) => ValueTask.CompletedTask));
        Assert.Equal((CloseReason.UnexpectedEof, 6L, 13L), (error.CloseReason, error.HaveBytes, error.NeedBytes));
    }

    [Fact]
    public async Task TrySend_says_no_when_the_reader_is_slow_and_after_the_end()
    {
        await using var rig = await Rig.ConnectAsync(Rig.Memory);
        var session = new Session<ReadOnlyMemory<byte>>(rig.Client, Codec.LengthPrefixed()) { QueueBytesMax = 50_000 };
        var sent = 0;
        while (session.TrySend(new byte[10_000]))
            Assert.InRange(++sent, 1, 13);
        Assert.InRange(rig.Client.BytesQueued, 50_000, 60_004);
        var reader = new Session<ReadOnlyMemory<byte>>(rig.Server, Codec.LengthPrefixed());
        for (var i = 0; i < sent; i++)
            Assert.Equal(10_000, (await reader.ReceiveAsync(Limits.Soon)).Length);
        await Limits.UntilAsync(() => rig.Client.BytesQueued == 0, "the queue did not drain");
        Assert.True(session.TrySend(new byte[1]));
        rig.Client.Abort();
        Assert.False(session.TrySend(new byte[1]));
        var error = await Assert.ThrowsAsync<ConnectionException>(async () => await session.SendAsync(new byte[1]));
        Assert.Equal(CloseReason.Abort, error.CloseReason);
    }

    [Fact]
    public async Task Borrowed_bytes_stay_until_the_handler_completes()
    {
        await using var rig = await Rig.ConnectAsync(Rig.Memory);
        var codec = Codec.LengthPrefixed();
        var gate = new TaskCompletionSource();
        var seen = new List<byte[]>();
        var serving = new Session<ReadOnlyMemory<byte>>(rig.Server, codec).RunAsync(async (_, frame) =>
        {
            await gate.Task;
            seen.Add(frame.ToArray());
        });
        var client = new Session<ReadOnlyMemory<byte>>(rig.Client, codec);
        for (byte i = 1; i <= 9; i++)
            await client.SendAsync(Enumerable.Repeat(i, 2000).ToArray());
        await rig.Client.ShutdownSendAsync();
        gate.SetResult();
        await serving.InTime();
        Assert.Equal(9, seen.Count);
        Assert.All(seen, (bytes, i) => Assert.All(bytes, b => Assert.Equal(i + 1, b)));
    }

    [Fact]
    public async Task A_handler_may_half_close_its_output()
    {
        await using var rig = await Rig.ConnectAsync(Rig.Tcp4);
        await rig.Client.SendAsync("one\n"u8.ToArray());
        await rig.Client.ShutdownSendAsync();
        await new Session<string>(rig.Server, Lines).RunAsync(async (s, line) =>
        {
            await s.SendAsync(line);
            await s.Connection.ShutdownSendAsync();
        }).InTime();
        Assert.Equal("one\n"u8.ToArray(), await Limits.ReadToEndAsync(rig.Client));
    }

    [Fact]
    public void Two_returns_of_one_buffer_are_caught()
    {
        var pool = new BlockPool(poison: true);
        var block = pool.Rent(10);
        pool.Return(block);
        Assert.Contains("twice", Assert.Throws<InvalidOperationException>(() => pool.Return(block)).Message);
        Assert.Equal(0, pool.Outstanding);
    }

    [Fact]
    public void A_use_after_return_is_seen_and_caught()
    {
        var pool = new BlockPool(poison: true);
        var block = pool.Rent(10);
        block.FreeSpan[0] = 1;
        var bytes = block.Bytes;
        pool.Return(block);
        Assert.Equal(0xDB, bytes[0]);
        bytes[7] = 1;
        var rented = Enumerable.Range(0, 200).Select(_ => pool.Rent(10)).ToArray();
        foreach (var other in rented)
            pool.Return(other);
        var error = Assert.Throws<InvalidOperationException>(() =>
        {
            for (var i = 0; i < 400; i++)
                pool.Return(pool.Rent(10));
        });
        Assert.Contains("at byte 7", error.Message);
    }

    private static WireConnection Over(Wire wire) =>
        new(wire, Endpoint.Parse("mem:here"), Endpoint.Parse("mem:there"));

    /// <summary>Has some bytes to receive and then the end; takes everything and counts the calls.</summary>
    private sealed class CountingWire(byte[] input) : Wire
    {
        private readonly MemoryStream _output = new();
        private int _at;

        public int Sends { get; private set; }

        public string Text => System.Text.Encoding.UTF8.GetString(_output.ToArray());

        public override int TryReceive(Memory<byte> buffer)
        {
            var bytes = Math.Min(buffer.Length, input.Length - _at);
            input.AsSpan(_at, bytes).CopyTo(buffer.Span);
            _at += bytes;
            return bytes;
        }

        public override ValueTask WaitReadableAsync() => default;

        public override void WakeReader()
        {
        }

        public override int TrySend(ReadOnlyMemory<byte> bytes)
        {
            Sends++;
            _output.Write(bytes.Span);
            return bytes.Length;
        }

        public override int TrySend(IList<ArraySegment<byte>> buffers) => throw new NotSupportedException();

        public override ValueTask<int> SendAsync(ReadOnlyMemory<byte> bytes) => new(TrySend(bytes));

        public override void ShutdownSend()
        {
        }

        public override void Close(bool reset)
        {
        }
    }
}
