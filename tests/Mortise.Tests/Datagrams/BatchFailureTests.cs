using System.Globalization;
using Mortise.Telemetry;
using Xunit;

namespace Mortise.Tests.Datagrams;

/// <summary>What goes wrong around a batch: refusals, the end of the socket, a full queue, and no garbage.</summary>
public sealed class BatchFailureTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("udp://127.0.0.1:0");

    private readonly CancellationToken _patience = new CancellationTokenSource(TimeSpan.FromSeconds(10)).Token;
    private readonly DatagramBatch _batch = new(capacity: 64, datagramBytesMax: 2048);

    [Fact]
    public async Task A_refusal_by_ICMP_is_told_once_and_ends_nothing()
    {
        var gone = DatagramSocket.Bind("udp://127.77.0.2:0"); // where nobody else takes the port meanwhile
        var at = gone.LocalEndpoint;
        using var client = DatagramSocket.Connect(at);
        gone.Dispose();
        await client.SendAsync("anyone?"u8.ToArray(), _patience);
        var refused = await Assert.ThrowsAsync<ConnectionException>(
            async () => await client.ReceiveBatchAsync(_batch, _patience));
        Assert.Equal(("recv", at.ToString(), "ECONNREFUSED"), (refused.Operation, refused.Endpoint, refused.Symbol));
        Assert.Contains("ICMP", refused.Message);

        await client.SendAsync("anyone?"u8.ToArray(), _patience);
        _batch.Add("stays"u8);
        _batch.Add("goes"u8);
        Assert.Equal(1, await client.SendBatchAsync(_batch, _patience));
        Assert.Equal(["ECONNREFUSED", null], _batch.Select(d => d.Failure?.Symbol));

        using var back = DatagramSocket.Bind(at);
        await Assert.ThrowsAsync<ConnectionException>(async () => await client.ReceiveBatchAsync(_batch, _patience));
        await back.SendToAsync("here"u8.ToArray(), client.LocalEndpoint, _patience);
        Assert.Equal(1, await client.ReceiveBatchAsync(_batch, _patience));
    }

    [Fact]
    public async Task A_server_that_answers_those_who_left_goes_on_receiving()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        var left = Enumerable.Range(0, 20).Select(_ => DatagramSocket.Connect(server.LocalEndpoint)).ToArray();
        foreach (var client in left)
        {
            await client.SendAsync("and away"u8.ToArray(), _patience);
            client.Dispose();
        }

        for (var answered = 0; answered < left.Length; answered += _batch.Count)
        {
            await server.ReceiveBatchAsync(_batch, _patience);
            Assert.Equal(_batch.Count, await server.SendBatchAsync(_batch, _patience));
        }

        using var stayed = DatagramSocket.Connect(server.LocalEndpoint);
        await stayed.SendAsync("still there?"u8.ToArray(), _patience);
        Assert.Equal(1, await server.ReceiveBatchAsync(_batch, _patience));
        Assert.Equal(12, _batch[0].Length);
    }

    [Fact]
    public async Task Closing_the_socket_ends_every_wait_with_its_name()
    {
        var socket = DatagramSocket.Bind(AnyPort);
        var local = socket.LocalEndpoint;
        var batch = socket.ReceiveBatchAsync(_batch, _patience).AsTask();
        var single = socket.ReceiveAsync(new byte[8], _patience).AsTask();
        Assert.False(batch.IsCompleted || single.IsCompleted);
        socket.Dispose();
        socket.Dispose();
        _batch.Clear();
        _batch.Add("late"u8, local);
        foreach (var call in (Func<Task>[])[
            () => batch, () => single,
            async () => await socket.ReceiveBatchAsync(_batch),
            async () => await socket.ReceiveAsync(new byte[8]),
            async () => await socket.SendToAsync(new byte[8], local),
            async () => { _batch.Add("late"u8, local); await socket.SendBatchAsync(_batch); },
        ])
        {
            var ended = await Assert.ThrowsAsync<ConnectionException>(() => call().WaitAsync(_patience));
            Assert.Equal((CloseReason.Local, local.ToString()), (ended.CloseReason, ended.Endpoint));
            Assert.Contains("the datagram socket was closed", ended.Message);
        }
    }

    [Fact]
    public async Task A_cancelled_wait_takes_no_datagram_with_it()
    {
        using var server = DatagramSocket.Bind(AnyPort);
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        using (var cancelled = new CancellationTokenSource())
        {
            var waiting = server.ReceiveBatchAsync(_batch, cancelled.Token).AsTask();
            await cancelled.CancelAsync();
            await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(_patience));
            await client.SendAsync("kept"u8.ToArray(), _patience);
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await server.ReceiveBatchAsync(_batch, cancelled.Token));
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await server.SendBatchAsync(_batch, cancelled.Token));
        }

        Assert.Equal(1, await server.ReceiveBatchAsync(_batch, _patience));
        Assert.Equal(4, _batch[0].Length);
    }

    /// <summary>A connected sender has only this one to wait for; UDP waits so for its own send buffer.</summary>
    [Fact]
    public async Task A_full_queue_is_waited_for_and_the_wait_can_be_cancelled_or_closed()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "abstract names are Linux's");
        using var busy = DatagramSocket.Bind($"unixgram:@mortise-full-{Guid.NewGuid():N}");
        var sender = DatagramSocket.Connect(busy.LocalEndpoint);
        for (var i = 0; i < _batch.Capacity; i++)
            _batch.Add([(byte)i]);
        var (sending, batches) = (sender.SendBatchAsync(_batch, _patience).AsTask(), 1);
        for (; sending.IsCompleted; batches++)
            sending = sender.SendBatchAsync(_batch, _patience).AsTask();
        var incoming = new DatagramBatch(capacity: 64, datagramBytesMax: 1);
        for (var taken = 0; taken < batches * _batch.Capacity; taken += incoming.Count)
        {
            await busy.ReceiveBatchAsync(incoming, _patience);
            for (var i = 0; i < incoming.Count; i++)
                Assert.Equal((taken + i) % _batch.Capacity, incoming[i].Payload.Span[0]);
        }

        Assert.Equal(_batch.Capacity, await sending);
        using var cancel = new CancellationTokenSource();
        do
            sending = sender.SendBatchAsync(_batch, cancel.Token).AsTask();
        while (sending.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => sending.WaitAsync(_patience));
        sending = sender.SendBatchAsync(_batch, _patience).AsTask();
        Assert.False(sending.IsCompleted);
        sender.Dispose();
        var ended = await Assert.ThrowsAsync<ConnectionException>(() => sending.WaitAsync(_patience));
        Assert.Equal(("send", CloseReason.Local), (ended.Operation, ended.CloseReason));
    }

    [Fact]
    public async Task What_the_kernel_dropped_is_counted_as_in_its_own_table()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "/proc/net/udp is Linux's");
        const int Sent = 200;
        var counted = MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.ReceiveQueue];
        using var server = DatagramSocket.Bind(AnyPort, new TransportOptions { ReceiveBufferBytes = 16 * 1024 });
        using var client = DatagramSocket.Connect(server.LocalEndpoint);
        Assert.Equal(32 * 1024, server.GetSocketBuffers().Receive);
        Assert.Equal(0, server.KernelDrops);
        for (var i = 0; i < Sent; i++)
            await client.SendAsync(new byte[1000], _patience);
        var port = server.LocalEndpoint.Port.ToString("X4", CultureInfo.InvariantCulture);
        var row = File.ReadLines("/proc/net/udp").Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Single(r => r[1] == "0100007F:" + port);
        var drops = int.Parse(row[^1], CultureInfo.InvariantCulture);
        Assert.InRange(drops, 1, Sent - 1);
        Assert.Equal(drops, server.KernelDrops);
        Assert.Equal(Sent - drops, await server.ReceiveBatchAsync(_batch, _patience));
        Assert.True(MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.ReceiveQueue] >= counted + drops);
        server.Dispose();
        Assert.Equal(drops, server.KernelDrops);
        Assert.True(MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.ReceiveQueue] >= counted + drops);
        Row.Observed("I26", $"SO_RCVBUF 16 KiB (32 KiB in force), {Sent} datagrams unread: KernelDrops {drops} "
            + $"= column drops of /proc/net/udp, and the other {Sent - drops} are received");
    }

    [Fact]
    public void A_batch_costs_no_allocation()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "one by one elsewhere");
        using var server = DatagramSocket.Bind("udp://0.0.0.0:0");   // with control messages
        using var client = DatagramSocket.Connect(server.LocalEndpoint.WithHost("127.0.0.1"));
        var question = new DatagramBatch(capacity: 32, datagramBytesMax: 64);
        var answer = new DatagramBatch(capacity: 32, datagramBytesMax: 64);
        long Echo(int datagrams)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            question.Clear();
            for (var i = 0; i < datagrams; i++)
                question.Add("sixteen bytes...."u8);
            // Everything is there at once: no call has to wait, so that this thread makes them all.
            var done = client.SendBatchAsync(question).IsCompletedSuccessfully
                && server.ReceiveBatchAsync(_batch).IsCompletedSuccessfully;
            for (var i = 0; i < _batch.Count; i++)
                done &= _batch[i].Peer.Port == client.LocalEndpoint.Port && _batch[i].Local != null;
            done &= server.SendBatchAsync(_batch).IsCompletedSuccessfully
                && client.ReceiveBatchAsync(answer).IsCompletedSuccessfully;
            var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(done && answer.Count == datagrams);
            return allocated;
        }

        Echo(32);
        var one = Enumerable.Range(0, 100).Min(_ => Echo(1));
        Assert.Equal(one, Enumerable.Range(0, 100).Min(_ => Echo(32)));
#if !DEBUG // where the state machine of an async method is an object
        Assert.Equal(0, one);
#endif
    }
}
