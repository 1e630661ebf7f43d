using System.Collections.Concurrent;
using System.Diagnostics;
using Mortise.Sessions.Rates;
using Mortise.Telemetry;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Tests.Server;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Sessions.Rates;

/// <summary>Who sends more than its rate is read at that rate, or closed.</summary>
public sealed class RateTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private readonly ManualTime _time = new();
    private readonly WarningLog _log = new();
    private readonly ConcurrentQueue<string> _heard = new();

    [Fact]
    public async Task A_session_is_read_at_its_rate_and_a_second_s_worth_comes_at_once()
    {
        await using var server = Start(o => o.SessionRate = new() { MessagesPerSecond = 10 });
        await using var client = await ConnectAsync(server);
        var waits = MortiseMeter.Totals()[Metrics.RateWaits];
        for (var i = 0; i < 45; i++)
            await client.SendAsync($"{i}");
        await HeardAsync(10);
        await Limits.UntilAsync(() => MortiseMeter.Totals()[Metrics.RateWaits] > waits, "the metric does not name it");
        Assert.Contains("is over its rate limit, 10 messages/s for a session: read at that rate", _log.Text);
        for (var heard = 11; heard <= 30; heard++)
        {
            _time.Advance(Second / 10);
            await HeardAsync(heard);
        }

        Assert.Equal(Enumerable.Range(0, 30).Select(i => $"{i}"), _heard);
        for (var step = 0; step < 100 && _heard.Count < 45; step++)
            await AdvanceAsync(Second);
        Assert.Equal(Enumerable.Range(0, 45).Select(i => $"{i}"), _heard);
        Assert.InRange(_log.Text.Split('\n').Length, 2, 1 + (int)_time.Elapsed.TotalSeconds);
    }

    [Fact]
    public async Task A_stop_does_not_wait_for_the_rate()
    {
        await using var server = Start(o => o.SessionRate = new() { MessagesPerSecond = 0.001 });
        await using var client = await ConnectAsync(server);
        for (var i = 0; i < 20; i++)
            await client.SendAsync($"{i}");
        await HeardAsync(1);
        var stopping = server.StopAsync();
        for (var step = 0; step < 1000 && !stopping.IsCompleted; step++)
            await AdvanceAsync(Second / 100);
        Assert.Equal(0, (await stopping.InTime()).Aborted);
        Assert.Equal(20, _heard.Count);
    }

    [Fact]
    public async Task Sessions_that_ask_are_held_to_it_too()
    {
        await using var server = Start(o => o.SessionRate = new() { MessagesPerSecond = 5 },
            new() { Correlation = Correlate.InOrder<string>(_ => false) });
        await using var client = await ConnectAsync(server);
        for (var i = 0; i < 8; i++)
            await client.SendAsync($"{i}");
        await HeardAsync(5);
        await AdvanceAsync(Second / 5);
        await HeardAsync(6);
    }

    [Theory]
    [InlineData(true, "10 messages/s for a session")]
    [InlineData(false, "200 bytes/s for an address")]
    public async Task Who_is_over_may_be_closed_instead(bool messages, string limit)
    {
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), Hear, o =>
        {
            o.Logger = _log;
            if (messages)
                o.SessionRate = new() { MessagesPerSecond = 10, Disconnects = true };
            else
                o.AddressRate = new() { BytesPerSecond = 200, Disconnects = true };
        });
        await using var modest = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        for (var i = 0; i < 10; i++)
            await modest.SendAsync("a line of 20 bytes.");
        await HeardAsync(10);
        await using var client = messages
            ? await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines()) : modest;
        var text = string.Join('\n', Enumerable.Range(0, 100));
        await client.Connection.SendAsync(System.Text.Encoding.ASCII.GetBytes(text));
        await Assert.ThrowsAsync<ConnectionException>(() => client.ReceiveAsync(Limits.Soon).InTime());
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.RateLimit) == 1, "not counted");
        Assert.Contains($"{limit}: closed (rate_limit)", _log.Text);
        Assert.InRange(_heard.Count, 10, 21);
        Assert.Equal(messages ? 1 : 0, server.Statistics.Current);
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task An_address_that_tried_often_is_served_again_when_its_rate_allows(bool messages)
    {
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), Hear, o =>
        {
            o.Transport.Time = _time;
            o.AddressRate = messages ? new() { MessagesPerSecond = 4, Disconnects = true }
                : new() { BytesPerSecond = 200, Disconnects = true };
        });
        var flood = System.Text.Encoding.ASCII.GetBytes(string.Concat(Enumerable.Repeat("flood\n", 100)));
        for (var attempt = 1; attempt <= 20; attempt++)
        {
            await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
            await client.Connection.SendAsync(flood);
            await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.RateLimit) == attempt, "not closed");
        }

        _time.Advance(Second);
        await using var modest = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await modest.SendAsync("modest");
        await Limits.UntilAsync(() => _heard.Contains("modest") || modest.Connection.CloseReason is not null
            || server.Statistics.Closed(CloseReason.RateLimit) > 20, "neither heard nor closed");
        Assert.Contains("modest", _heard);
    }

    [Fact]
    public async Task A_server_that_is_gone_has_no_timer_for_the_addresses_that_it_remembers()
    {
        var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), Hear, o =>
        {
            o.Transport.Time = _time;
            o.AddressRate = new() { MessagesPerSecond = 4 };
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        await client.SendAsync("one");
        await HeardAsync(1);
        await server.DisposeAsync();
        Assert.Equal(0, _time.Pending);
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task A_receive_that_waits_for_the_rate_ends_with_its_token_and_loses_nothing(bool messages)
    {
        var served = new TaskCompletionSource<Session<string>>();
        var over = new TaskCompletionSource();
        await using var server = SocketServer.Start("mem:rates", c =>
        {
            served.SetResult(c.AsSession(Codec.Lines()));
            return over.Task;
        }, o =>
        {
            o.Transport.Memory = _network;
            o.Transport.Time = _time;
            o.SessionRate = messages ? new() { MessagesPerSecond = 1 } : new() { BytesPerSecond = 1 };
        });
        await using var client = await ConnectAsync(server);
        await client.SendAsync("1");
        var session = await served.Task.InTime();
        Assert.Equal("1", await session.ReceiveAsync(Limits.Soon));
        await client.SendAsync("2");
        using var cancel = new CancellationTokenSource();
        var receiving = session.ReceiveAsync(cancel.Token).AsTask();
        await Limits.UntilAsync(() => receiving.IsCompleted || _time.Pending > 0, "it does not wait");
        Assert.False(receiving.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => receiving.InTime());
        receiving = session.ReceiveAsync().AsTask();
        for (var step = 0; step < 100 && !receiving.IsCompleted; step++)
            await AdvanceAsync(Second / 10);
        Assert.Equal("2", await receiving.InTime());
        over.SetResult();
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task Bytes_over_the_rate_wait_at_the_sender_and_the_handler_stays_at_home(EngineKind engine)
    {
        const int Lines = 300, LineBytes = 10_000, PerSecond = 1_000_000;
        var strayed = 0;
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), (s, line) =>
        {
            if (!Served.IsLoopThread || !s.Connection.IsHomeThread)
                Interlocked.Increment(ref strayed);
            _heard.Enqueue(line);
            return default;
        }, o =>
        {
            o.Transport.Set(engine);
            o.SessionRate = new() { BytesPerSecond = PerSecond };
            o.FrameTimeout = TimeSpan.FromMilliseconds(100); // not the peer's while nobody reads
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0], Codec.Lines());
        var clock = Stopwatch.StartNew();
        for (var i = 0; i < Lines; i++)
            await client.SendAsync(new string('x', LineBytes - 1));
        await HeardAsync(Lines);
        // The first second's worth comes at once, and the last read may overdraw: all that a ring had buffers for.
        var least = (Lines * LineBytes - PerSecond - 1024.0 * 1024) / PerSecond;
        Assert.InRange(clock.Elapsed.TotalSeconds, least, 20);
        Assert.Equal(0, strayed);
        Assert.Null(client.CloseReason);
    }

    [Fact]
    public async Task All_sessions_of_an_address_share_its_rate_which_is_forgotten_when_they_are_gone()
    {
        RateBook? book = null;
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), (s, line) =>
        {
            book = Mortise.Server.ConnectionServer.Of(s.Connection)!
                .Shared<RateBook>(_ => throw new NotSupportedException());
            return Hear(s, line);
        }, o =>
        {
            o.Transport.Time = _time;
            o.AddressRate = new() { MessagesPerSecond = 4 };
        });
        Task<Session<string>> FromAsync(string address) => SocketClient.ConnectAsync(server.Endpoints[0],
            Codec.Lines(), o => o.Transport.Bind = $"tcp://{address}:0").AsTask();
        await using var one = await FromAsync("127.0.0.1");
        await using var two = await FromAsync("127.0.0.1");
        await using var other = await FromAsync("127.0.0.2");
        for (var i = 0; i < 4; i++)
            await one.SendAsync("one");
        await HeardAsync(4);
        await two.SendAsync("two");
        await other.SendAsync("other");
        await HeardAsync(5);
        Assert.Equal("other", _heard.Last());
        await AdvanceAsync(Second / 4);
        await HeardAsync(6);
        Assert.Equal("two", _heard.Last());
        Assert.Equal(2, book!.Count);
        foreach (var client in new[] { one, two, other })
            client.Abort();
        for (var step = 0; step < 40; step++)
            await AdvanceAsync(Second / 100); // who waits for the rate notices the end within 250 ms
        await Limits.UntilAsync(() => server.Statistics.Current == 0, "they are not gone");
        Assert.Equal(1, book.Count); // who comes back at once has gained nothing
        for (var step = 0; step < 5; step++)
            await AdvanceAsync(Second);
        Assert.Equal(0, book.Count);
    }

    [Fact]
    public void An_IPv6_customer_is_a_64_and_others_are_their_address()
    {
        Assert.Equal(Of("[2001:db8:0:1::1]"), Of("[2001:db8:0:1:ffff::2]"));
        Assert.NotEqual(Of("[2001:db8:0:1::1]"), Of("[2001:db8:0:2::1]"));
        Assert.NotEqual(Of("192.0.2.1"), Of("192.0.2.2"));
        Assert.Null(Endpoint.Parse("unix:/run/x").Customer);

        static System.Net.IPAddress? Of(string host) => Endpoint.Parse($"tcp://{host}:1").Customer;
    }

    [Theory, InlineData(0), InlineData(-1), InlineData(double.NaN), InlineData(double.PositiveInfinity)]
    public void A_rate_is_above_zero(double rate)
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new RateLimit { MessagesPerSecond = rate });
        Assert.Throws<ArgumentOutOfRangeException>(() => new RateLimit { BytesPerSecond = rate });
    }

    private SocketServer Start(Action<ServerOptions> configure, SessionOptions<string>? session = null) =>
        SocketServer.Start("mem:rates", Codec.Lines(), session ?? new(), Hear, o =>
        {
            o.Transport.Memory = _network;
            o.Transport.Time = _time;
            o.Logger = _log;
            configure(o);
        });

    private readonly MemoryNetwork _network = new();

    private Task<Session<string>> ConnectAsync(SocketServer server) => SocketClient.ConnectAsync(server.Endpoints[0],
        Codec.Lines(), o => o.Transport.Memory = _network).AsTask();

    private ValueTask Hear(Session<string> session, string line)
    {
        _heard.Enqueue(line);
        return default;
    }

    /// <summary>So many, and no more, as far as can be seen while the clock stands.</summary>
    private async Task HeardAsync(int lines)
    {
        await Limits.UntilAsync(() => _heard.Count >= lines, $"{_heard.Count} of {lines} lines came");
        await Task.Yield();
        Assert.Equal(lines, _heard.Count);
    }

    /// <summary>Moves the clock, and lets what waited for it run.</summary>
    private async Task AdvanceAsync(TimeSpan time)
    {
        _time.Advance(time);
        for (var i = 0; i < 20; i++)
            await Task.Yield();
    }
}
