using System.Buffers;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>The tutorials' calls: peek, exactly, scatter, gather, urgent, blocking, the kernel's own view.</summary>
[Collection("alone")]
public sealed class CallTests
{
    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Peek_looks_and_takes_nothing(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("abc"u8.ToArray());
        var peeked = new byte[3];
        var taken = new byte[3];
        Assert.Equal(3, await rig.Server.PeekAsync(peeked, Limits.Soon));
        Assert.Equal(3, await rig.Server.PeekAsync(peeked, Limits.Soon));
        Assert.Equal(3, rig.Server.BytesHeld);
        await rig.Server.ReceiveExactlyAsync(taken, Limits.Soon);
        Assert.Equal("abc"u8.ToArray(), peeked);
        Assert.Equal(peeked, taken);
        Row.Observed("I10", $"{name}: peeked abc twice with 3 bytes held, then read abc");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Exactly_waits_for_all_or_tells_how_many_came(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync("ab"u8.ToArray());
        var five = new byte[5];
        var receiving = rig.Server.ReceiveExactlyAsync(five, Limits.Soon).AsTask();
        await rig.Client.SendAsync("cdeXY"u8.ToArray());
        await receiving.InTime();
        Assert.Equal("abcde"u8.ToArray(), five);
        await rig.Client.ShutdownSendAsync();
        var error = await Assert.ThrowsAsync<FrameException>(
            () => rig.Server.ReceiveExactlyAsync(five, Limits.Soon).AsTask());
        Assert.Equal((CloseReason.UnexpectedEof, 2L, 5L), (error.CloseReason, error.HaveBytes, error.NeedBytes));
        Row.Observed("I11", $"{name}: ab + cde filled 5 bytes; then: {error.Message}");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Scatter_fills_buffers_in_order_and_gather_sends_them_as_one(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        await rig.Client.SendAsync(Segments(3, 5000));
        var first = new byte[10];
        var second = new byte[90];
        Assert.Equal(100, await rig.Server.ReceiveAsync((Memory<byte>[])[first, second], Limits.Soon));
        Assert.All(first.Concat(second), b => Assert.Equal(0, b));
        var rest = new byte[14_900];
        await rig.Server.ReceiveExactlyAsync(rest, Limits.Soon);
        Assert.Equal((0, 1, 1, 2), (rest[4899], rest[4900], rest[9899], rest[^1]));
    }

    [Theory, MemberData(nameof(Rig.Tcp), MemberType = typeof(Rig))]
    public async Task The_urgent_byte_goes_beside_the_stream(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.UrgentData = true);
        await rig.Client.SendAsync("abc"u8.ToArray());
        rig.Client.SendUrgent((byte)'!');
        await rig.Client.SendAsync("abc"u8.ToArray());
        byte urgent = 0;
        await Limits.UntilAsync(() => rig.Server.TryReceiveUrgent(out urgent), "no urgent byte came");
        Assert.Equal((byte)'!', urgent);
        var six = new byte[6];
        await rig.Server.ReceiveExactlyAsync(six, Limits.Soon);
        Assert.Equal("abcabc"u8.ToArray(), six);
        Assert.False(rig.Server.TryReceiveUrgent(out _));
        Row.Observed("I09", $"{name}: abc / ! / abc: the urgent byte was '!', the stream abcabc");
    }

    [Theory, MemberData(nameof(Rig.Tcp), MemberType = typeof(Rig))]
    public async Task An_engine_that_would_lose_the_urgent_byte_says_so(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        if (rig.Options.Engine == EngineKind.Managed)
            Assert.False(rig.Server.TryReceiveUrgent(out _));
        else
            Assert.Contains("UrgentData", Assert.Throws<UnsupportedException>(
                () => rig.Server.TryReceiveUrgent(out _)).Hint, StringComparison.Ordinal);
    }

    [Theory, MemberData(nameof(Rig.Tcp), MemberType = typeof(Rig))]
    public async Task The_kernel_tells_what_the_peer_has_acknowledged(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = 20_000);
        await rig.Client.SendAsync(new byte[12_345]);
        await Limits.UntilAsync(() => rig.Client.GetTcpInfo().BytesAcked >= 12_345, "the bytes were not acknowledged");
        var info = rig.Client.GetTcpInfo();
        Assert.Equal("ESTABLISHED", info.State);
        Assert.Equal(12_345, rig.Client.BytesSent);
        Assert.Equal(0, rig.Client.BytesQueued);
        Assert.Equal(rig.Server.BytesReceived, rig.Server.BytesHeld); // received ahead by some engines, read by nobody
        Assert.Equal(40_000, rig.Client.GetSocketBuffers().SendBytes);
        Row.Observed("I02", $"{name}: sent 12345, queued 0, acknowledged {info.BytesAcked} by the peer's "
            + "kernel while its program had read 0");
        Row.Observed("A19", $"{name}: SO_SNDBUF asked 20000, in force {rig.Client.GetSocketBuffers().SendBytes}");
    }

    [Fact]
    public async Task A_unix_peer_shows_who_it_is()
    {
        await using var rig = await Rig.ConnectAsync(Rig.Unix);
        var peer = rig.Server.GetPeerCredentials();
        Assert.Equal(Environment.ProcessId, peer.ProcessId);
        await using var tcp = await Rig.ConnectAsync(Rig.Tcp4);
        Assert.Throws<UnsupportedException>(() => tcp.Server.GetPeerCredentials());
        Assert.Throws<UnsupportedException>(() => rig.Server.SendUrgent(1));
        Row.Observed("I15", $"SO_PEERCRED: pid {peer.ProcessId} (this process), uid {peer.UserId}, gid {peer.GroupId}");
    }

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task Blocking_calls_have_a_timeout(string name)
    {
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 8192);
        var receive = Assert.Throws<TimedOutException>(
            () => rig.Server.Receive(new byte[1], TimeSpan.FromMilliseconds(30)));
        var send = Assert.Throws<TimedOutException>(
            () => rig.Client.Send(new byte[4 << 20], TimeSpan.FromMilliseconds(30)));
        Assert.Equal(1, rig.Server.Receive(new byte[1], Limits.Time));
        rig.Server.Send("ok"u8.ToArray(), Limits.Time);
        Assert.Equal(2, rig.Client.Receive(new byte[10], Limits.Time));
        Row.Observed("I12", $"{name}: {receive.Message} / {send.Message}");
    }

    [Theory, MemberData(nameof(Rig.Kernel), MemberType = typeof(Rig))]
    public async Task Signals_do_not_break_a_transfer(string name)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Windows has no signals of this kind");
        await using var rig = await Rig.ConnectAsync(name, o => o.SendBufferBytes = o.ReceiveBufferBytes = 16 * 1024);
        var signals = 0;
        using var window = OperatingSystem.IsWindows() ? null
            : PosixSignalRegistration.Create(PosixSignal.SIGWINCH, _ => Interlocked.Increment(ref signals));
        var bytes = Limits.Bytes(4 << 20, 4);
        var sending = rig.Client.SendAsync(bytes).AsTask();
        var reading = Task.Run(async () =>
        {
            var all = new byte[bytes.Length];
            await rig.Server.ReceiveExactlyAsync(all, Limits.Soon);
            return all;
        });
        using (var child = Process.Start("sh", ["-c", "for i in 1 2 3 4 5 6 7 8 9 10; do "
            + $"kill -WINCH {Environment.ProcessId}; kill -CHLD {Environment.ProcessId}; done"]))
            await child.WaitForExitAsync(Limits.Soon);
        Assert.Equal(bytes, await reading.InTime());
        await sending.InTime();
        await Limits.UntilAsync(() => signals > 0, "no signal arrived");
        Row.Observed("I06", $"{name}: 4 MiB arrived intact while {signals} SIGWINCH and as many SIGCHLD were handled");
    }

    internal static ReadOnlySequence<byte> Segments(int count, int bytesEach)
    {
        var first = new Part(Enumerable.Repeat((byte)0, bytesEach).ToArray());
        var last = first;
        for (byte i = 1; i < count; i++)
            last = last.Then(Enumerable.Repeat(i, bytesEach).ToArray());
        return new ReadOnlySequence<byte>(first, 0, last, bytesEach);
    }

    private sealed class Part : ReadOnlySequenceSegment<byte>
    {
        public Part(byte[] bytes) => Memory = bytes;

        public Part Then(byte[] bytes)
        {
            var next = new Part(bytes) { RunningIndex = RunningIndex + Memory.Length };
            Next = next;
            return next;
        }
    }
}
