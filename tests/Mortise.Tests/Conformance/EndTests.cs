using System.Buffers;
using System.Diagnostics;
using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>How connections end: in halves, in order, by reset, at once; one reason each, told to both.</summary>
[Collection("alone")]
public sealed class EndTests
{
    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Each_direction_ends_by_itself(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("question"u8.ToArray());
        await rig.Client.ShutdownSendAsync();
        Assert.Equal("question"u8.ToArray(), await Limits.ReadToEndAsync(rig.Server));
        var states = rig.IsTcp
            ? $"; {rig.Client.GetTcpInfo().State} / {rig.Server.GetTcpInfo().State}" : "";
        await rig.Server.SendAsync("answer"u8.ToArray());
        await rig.Server.ShutdownSendAsync();
        Assert.Equal("answer"u8.ToArray(), await Limits.ReadToEndAsync(rig.Client));
        Assert.Null(rig.Client.CloseReason);
        await rig.Client.DisposeAsync();
        Assert.Equal(CloseReason.Eof, rig.Client.CloseReason);
        Row.Observed("J05", $"{name}: FIN after the question, the answer still came, then FIN back{states}");
        Row.Observed("I05", $"{name}: bytes, then 0 = end of stream, and no error");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_reset_is_an_error_and_not_an_end_of_stream(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var closed = 0;
        rig.Server.Closed.Register(() => Interlocked.Increment(ref closed));
        var reading = rig.Server.ReceiveAsync(new byte[10], Limits.Soon).AsTask();
        rig.Client.Abort();
        Assert.Equal(CloseReason.Abort, rig.Client.CloseReason);
        if (rig.IsUnix)
        {
            // unix(7) has no reset without unread bytes: the end arrives as an end.
            Assert.Equal(0, await reading.InTime());
            return;
        }

        var error = await Assert.ThrowsAsync<ConnectionException>(() => reading.InTime());
        Assert.Equal((CloseReason.Reset, "ECONNRESET", 104), (error.CloseReason, error.Symbol, error.Errno));
        Assert.Equal(CloseReason.Reset, rig.Server.CloseReason);
        rig.Server.Abort();
        await rig.Server.DisposeAsync();
        await Limits.UntilAsync(() => closed == 1, "Closed was not announced");
        Assert.Equal(CloseReason.Reset, rig.Server.CloseReason);
        Assert.Equal(1, closed);
        Row.Observed("I07", $"{name}: {error.Message}; Closed once with {error.CloseReason.Name()}");
    }

    [Theory, MemberData(nameof(Rig.Kernel), MemberType = typeof(Rig))]
    public async Task Writing_after_the_peer_closed_fails_at_the_second_write_and_kills_nobody(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Server.DisposeAsync();
        var writes = 0;
        var error = await Assert.ThrowsAsync<ConnectionException>(async () =>
        {
            for (; ; writes++)
            {
                await rig.Client.SendAsync(new byte[10], Limits.Soon);
                await Task.Delay(5);
            }
        });
        Assert.InRange(writes, 0, 3);
        Assert.Contains(error.Symbol, (string[])["EPIPE", "ECONNRESET"]);
        Assert.Equal(CloseReason.Reset, error.CloseReason);
        var later = await Assert.ThrowsAsync<ConnectionException>(() => rig.Client.SendAsync(new byte[1]).AsTask());
        Assert.Equal(CloseReason.Reset, later.CloseReason);
        Row.Observed("I08", $"{name}: write 1 taken, write {writes + 1}: {error.Symbol} {error.Errno}; no SIGPIPE");
        Row.Observed("I04", $"{name}: {error.Message}");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Use_after_dispose_is_one_typed_error_and_touches_no_other_connection(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.DisposeAsync();
        await rig.Server.DisposeAsync();
        var (client, server) = await rig.PairAsync(); // likely the same descriptor number
        var send = await Assert.ThrowsAsync<ConnectionException>(
            () => rig.Client.SendAsync("stray"u8.ToArray()).AsTask());
        var receive = await Assert.ThrowsAsync<ConnectionException>(
            () => rig.Client.ReceiveAsync(new byte[1]).AsTask());
        Assert.Equal(CloseReason.Local, send.CloseReason);
        Assert.Equal(CloseReason.Local, receive.CloseReason);
        Assert.Throws<ConnectionException>(() => rig.Client.Output.GetMemory(1));
        await client.SendAsync("mine"u8.ToArray());
        await client.ShutdownSendAsync();
        Assert.Equal("mine"u8.ToArray(), await Limits.ReadToEndAsync(server));
        Row.Observed("J03", $"{name}: {send.Message}; the next connection got only its own bytes");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Dispose_sends_what_was_written_before_it(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var bytes = Limits.Bytes(1 << 20, 9);
        var sending = rig.Client.SendAsync(bytes).AsTask();
        var tail = rig.Client.SendAsync("tail"u8.ToArray()).AsTask();
        var disposing = rig.Client.DisposeAsync().AsTask();
        var again = rig.Client.CloseAsync(CloseReason.Idle, Limits.Time, Limits.Time).AsTask();
        var received = await Limits.ReadToEndAsync(rig.Server);
        await Task.WhenAll(sending, tail, disposing, again).InTime();
        Assert.Equal([.. bytes, .. "tail"u8], received);
        Assert.Equal(CloseReason.Local, rig.Client.CloseReason);
        Row.Observed("J04", $"{name}: dispose returned after all {received.Length} queued bytes had gone to the peer");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_sync_complete_loses_nothing_either(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var sending = rig.Client.SendAsync(new byte[1 << 20]).AsTask();
        rig.Client.Output.GetSpan(3)[..3].Fill(7);
        rig.Client.Output.Advance(3);
        rig.Client.Output.Complete();
        var closing = rig.Client.DisposeAsync().AsTask();
        var received = await Limits.ReadToEndAsync(rig.Server);
        await Task.WhenAll(sending, closing).InTime();
        Assert.Equal((1 << 20) + 3, received.Length);
        Assert.Equal([7, 7, 7], received[^3..]);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task What_was_cut_short_does_not_look_like_the_whole(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("the first ha"u8.ToArray());
        await rig.Server.Input.ReadAtLeastAsync(12).AsTask().InTime();
        await rig.Client.Output.CompleteAsync(new InvalidDataException("the source ended early")).AsTask().InTime();
        Assert.Equal(CloseReason.Abort, rig.Client.CloseReason);
        if (rig.IsUnix)
            return; // unix(7) has no reset without unread bytes
        var error = await Assert.ThrowsAsync<ConnectionException>(() => Limits.ReadToEndAsync(rig.Server).InTime());
        Assert.Equal(CloseReason.Reset, error.CloseReason);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Abort_does_not_wait_for_a_full_queue(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var sends = Enumerable.Range(0, 4).Select(_ => rig.Client.SendAsync(new byte[1 << 20]).AsTask()).ToArray();
        await Limits.UntilAsync(() => rig.Client.BytesQueued > 3 << 20, "the queue did not fill");
        var started = Stopwatch.GetTimestamp();
        rig.Client.Abort();
        foreach (var send in sends)
        {
            var error = await Assert.ThrowsAsync<ConnectionException>(() => send.InTime());
            Assert.Equal(CloseReason.Abort, error.CloseReason);
        }

        var elapsed = Stopwatch.GetElapsedTime(started);
        Assert.InRange(elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Assert.Equal(0, rig.Client.BytesQueued);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_close_that_cannot_flush_in_time_aborts_as_write_stalled(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var sending = rig.Client.SendAsync(new byte[1 << 20]).AsTask();
        await rig.Client.CloseAsync(CloseReason.Local, TimeSpan.FromMilliseconds(50), TimeSpan.Zero).InTime();
        await Assert.ThrowsAsync<ConnectionException>(() => sending.InTime());
        Assert.Equal(CloseReason.WriteStalled, rig.Client.CloseReason);
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task EndInput_gives_what_has_arrived_and_then_the_end_while_sending_goes_on(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("arrived"u8.ToArray());
        var head = new byte[3];
        await rig.Server.ReceiveExactlyAsync(head, Limits.Soon);
        rig.Server.EndInputFor(CloseReason.Drain);
        Assert.Equal("ived"u8.ToArray(), await Limits.ReadToEndAsync(rig.Server));
        await rig.Server.SendAsync("bye"u8.ToArray());
        await rig.Client.SendAsync("too late"u8.ToArray());
        await rig.Server.CloseAsync(CloseReason.Local, Limits.Time, TimeSpan.FromMilliseconds(50));
        Assert.Equal(CloseReason.Drain, rig.Server.CloseReason);
        Assert.Equal("bye"u8.ToArray(), await Limits.ReadToEndAsync(rig.Client));
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Reads_and_writes_can_be_cancelled_and_go_on(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        using var stop = new CancellationTokenSource();
        var reading = rig.Server.ReceiveAsync(new byte[1], stop.Token).AsTask();
        var big = Limits.Bytes(1 << 20, 2);
        var writing = rig.Client.SendAsync(big, stop.Token).AsTask();
        Assert.Equal(1, await reading.InTime());
        reading = rig.Client.ReceiveAsync(new byte[1], stop.Token).AsTask();
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading.InTime());
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => writing.InTime());
        var rest = new byte[big.Length - 1];
        await rig.Server.ReceiveExactlyAsync(rest, Limits.Soon);
        Assert.Equal(big[1..], rest); // a message that was begun leaves whole
        await rig.Server.SendAsync("x"u8.ToArray());
        Assert.Equal(1, await rig.Client.ReceiveAsync(new byte[1], Limits.Soon).InTime());
        var accepting = rig.Listener.AcceptAsync(new CancellationTokenSource(20).Token).AsTask();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => accepting.InTime());
        Assert.False(rig.Listener.TryAccept(out _));
        await rig.PairAsync();
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Bytes_in_a_handlers_hands_survive_an_end_from_elsewhere(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync(Limits.Bytes(3000));
        var result = await rig.Server.Input.ReadAsync(Limits.Soon);
        var memory = rig.Server.Output.GetMemory(100);
        rig.Server.Abort();
        memory.Span.Fill(1); // late, but it must not reach another connection's bytes
        var (client, server) = await rig.PairAsync();
        await client.SendAsync(new byte[4096]);
        await server.ReceiveExactlyAsync(new byte[4096], Limits.Soon);
        Assert.Equal(Limits.Bytes(3000)[..(int)result.Buffer.Length], result.Buffer.ToArray());
        rig.Server.Input.AdvanceTo(result.Buffer.End);
    }
}
