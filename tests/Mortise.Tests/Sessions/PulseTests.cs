using System.Collections.Concurrent;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>Heartbeats and silence by a clock that the test moves.</summary>
public sealed class PulseTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly Heartbeat<string> Ping = new(8 * Second, "ping");
    private readonly ManualTime _time = new();

    [Fact]
    public async Task A_heartbeat_is_sent_when_nothing_else_is()
    {
        var heard = new ConcurrentQueue<string>();
        await using var pair = await ConnectAsync(new(), new() { Heartbeat = Ping }, (_, line) =>
        {
            heard.Enqueue(line);
            return default;
        });
        for (var second = 0; second < 40; second++)
        {
            _time.Advance(Second);
            if (second % 4 == 0)
                await pair.Client.SendAsync("busy");
        }

        await Limits.UntilAsync(() => heard.Count >= 10, $"{heard.Count} lines came");
        Assert.DoesNotContain("ping", heard);
        _time.Advance(7 * Second);
        Assert.Equal(10, heard.Count);
        _time.Advance(3 * Second); // 8 s, or a quarter later
        await Limits.UntilAsync(() => heard.Contains("ping"), "no heartbeat came");
        await pair.Client.DisposeAsync();
        _time.Advance(2 * Second);
        Assert.Equal(11, heard.Count);
    }

    [Fact]
    public async Task Heartbeats_reach_no_handler_and_are_no_activity()
    {
        var heard = new ConcurrentQueue<string>();
        var silences = 0;
        var options = new SessionOptions<string>
        {
            Heartbeat = Ping,
            ReceiveIdleTimeout = 20 * Second,
            OnReceiveIdle = _ => Interlocked.Increment(ref silences),
        };
        await using var pair = await ConnectAsync(options, new() { Heartbeat = Ping }, (_, line) =>
        {
            heard.Enqueue(line);
            return default;
        });
        await pair.Client.SendAsync("hello");
        var served = (await pair.Served).Connection;
        for (var second = 0; second < 60; second++)
        {
            _time.Advance(Second);
            if (second == 15)
                await Limits.UntilAsync(() => served.BytesReceived > 6, "no heartbeat came");
        }

        await Limits.UntilAsync(() => Volatile.Read(ref silences) == 1, "the silence was not noticed");
        Assert.Equal(["hello"], heard);
        await pair.Client.SendAsync("again");
        await Limits.UntilAsync(() => heard.Count == 2, "the message did not come");
        for (var second = 0; second < 30; second++)
            _time.Advance(Second);
        await Limits.UntilAsync(() => Volatile.Read(ref silences) == 2, "the second silence was not noticed");
        Assert.Null(served.CloseReason);
    }

    [Fact]
    public async Task Without_a_callback_a_silent_peer_is_let_go_as_idle()
    {
        var closed = new TaskCompletionSource<CloseReason?>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var pair = await ConnectAsync(new() { ReceiveIdleTimeout = 20 * Second, Heartbeat = Ping },
            new() { Heartbeat = Ping }, (_, _) => default, o => o.OnClosed = c => closed.TrySetResult(c.CloseReason));
        await pair.Client.SendAsync("hello");
        await pair.Served;
        for (var second = 0; second < 18; second++)
            _time.Advance(Second);
        Assert.False(closed.Task.IsCompleted);
        for (var second = 0; second < 10; second++)
            _time.Advance(Second);
        Assert.False((await pair.Client.TryReceiveAsync(Limits.Soon)).Some);
        await pair.Client.DisposeAsync();
        Assert.Equal(CloseReason.Idle, await closed.Task.InTime());
    }

    [Fact]
    public async Task An_own_silence_is_told_apart_and_heartbeats_do_not_break_it()
    {
        var silences = 0;
        await using var pair = await ConnectAsync(new(), new()
        {
            Heartbeat = Ping,
            SendIdleTimeout = 30 * Second,
            OnSendIdle = _ => Interlocked.Increment(ref silences),
        }, (_, _) => default);
        for (var second = 0; second < 29; second++)
            _time.Advance(Second);
        Assert.Equal(0, Volatile.Read(ref silences));
        for (var second = 0; second < 40; second++)
            _time.Advance(Second);
        await Limits.UntilAsync(() => Volatile.Read(ref silences) == 1, $"{silences} silences were noticed");
    }

    [Fact]
    public async Task Heartbeats_do_not_put_off_the_server_s_idle_timeout()
    {
        await using var pair = await ConnectAsync(new() { Heartbeat = Ping }, new() { Heartbeat = Ping },
            (s, line) => s.SendAsync(line), o => o.IdleTimeout = 30 * Second);
        await pair.Client.SendAsync("hello");
        Assert.Equal("hello", await pair.Client.ReceiveAsync(Limits.Soon));
        var served = (await pair.Served).Connection;
        for (var second = 0; second < 28; second++)
        {
            _time.Advance(Second);
            if (second is 11 or 27)
                await Limits.UntilAsync(() => served.BytesReceived >= 6 + (second > 11 ? 10 : 5), "no heartbeat came");
        }

        Assert.Null(served.InputEndedFor);
        for (var second = 0; second < 20; second++) // the last heartbeat came after the 24th
            _time.Advance(Second);
        Assert.Equal(CloseReason.Idle, served.InputEndedFor);
    }

    [Fact]
    public async Task A_session_whose_handler_is_at_work_is_not_idle()
    {
        var work = new TaskCompletionSource();
        await using var pair = await ConnectAsync(new() { Heartbeat = Ping }, new(), (_, _) => new(work.Task),
            o => o.IdleTimeout = 30 * Second);
        await pair.Client.SendAsync("hello");
        var served = (await pair.Served).Connection;
        for (var second = 0; second < 100; second++)
            _time.Advance(Second);
        Assert.Null(served.InputEndedFor);
        work.SetResult();
        for (var second = 0; second < 200 && served.InputEndedFor is null; second++)
        {
            _time.Advance(Second);
            await Task.Yield();
        }

        await Limits.UntilAsync(() => served.InputEndedFor == CloseReason.Idle, "its silence was not noticed");
    }

    [Fact]
    public async Task Items_belong_to_one_session()
    {
        await using var pair = await ConnectAsync(new(), new(), (session, line) =>
        {
            session.Items["lines"] = (int)(session.Items.TryGetValue("lines", out var n) ? n! : 0) + 1;
            return session.SendAsync($"{line} {session.Items["lines"]}");
        });
        await pair.Client.SendAsync("a");
        await pair.Client.SendAsync("b");
        Assert.Equal("a 1", await pair.Client.ReceiveAsync(Limits.Soon));
        Assert.Equal("b 2", await pair.Client.ReceiveAsync(Limits.Soon));
        Assert.Empty(pair.Client.Items);
    }

    private Task<Asking<string>> ConnectAsync(SessionOptions<string> server, SessionOptions<string> client,
        Func<Session<string>, string, ValueTask> handler, Action<ServerOptions>? configure = null) =>
        Asking<string>.ConnectAsync(Rig.Memory, Codec.Lines(), server, handler, o =>
        {
            o.IdleTimeout = o.FrameTimeout = Timeout.InfiniteTimeSpan;
            configure?.Invoke(o);
        }, client, _time);
}
