using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Tests.Sessions;
using Xunit;

namespace Mortise.Tests.Returning;

/// <summary>Connections that are lent: to one at a time, and never one that is out of step.</summary>
public sealed class PoolTests
{
    public static TheoryData<string> Ways { get; } = [.. Harbour.Ways];

    [Theory, MemberData(nameof(Ways))]
    public async Task No_more_than_its_size_are_rented_and_each_reply_is_its_tenants(string way)
    {
        await using var harbour = new Harbour(way);
        harbour.Start();
        await using var pool = harbour.Pool(o => o.MaxSize = 3);
        var (rented, most) = (0, 0);
        await Task.WhenAll(Enumerable.Range(0, 200).Select(async i =>
        {
            await using var lease = await pool.RentAsync(Limits.Soon);
            most = Math.Max(most, Interlocked.Increment(ref rented));
            Assert.Equal($"re: {i}", await lease.Session.RequestAsync($"{i}").InTime());
            Interlocked.Decrement(ref rented);
        }));
        Assert.Equal(3, most);
        Assert.InRange(harbour.Accepted, 1, 3);
        Assert.InRange(pool.Idle, 1, 3);
    }

    [Fact]
    public async Task One_that_is_broken_owed_something_unread_or_over_is_never_lent_again()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start((session, line) => line switch
        {
            "nothing" => default,
            "two" => TwiceAsync(session),
            _ => session.SendAsync(line),
        });
        await using var pool = harbour.Pool();
        async Task<Session<string>> UseAsync(Func<SocketLease<string>, Task> use)
        {
            await using var lease = await pool.RentAsync();
            await use(lease);
            return lease.Session;
        }

        var first = await UseAsync(l => l.Session.RequestAsync("a").AsTask());
        Assert.Equal(first, await UseAsync(l => l.Session.RequestAsync("b").AsTask()));
        var second = await UseAsync(_ => Task.CompletedTask);
        Assert.Equal(first, second);
        await UseAsync(l =>
        {
            l.MarkBroken();
            return Task.CompletedTask;
        });
        Assert.Equal(0, pool.Idle);
        await UseAsync(l => Assert.ThrowsAsync<TimedOutException>(
            () => l.Session.RequestAsync("nothing", TimeSpan.FromMilliseconds(20)).AsTask()));
        Assert.Equal(0, pool.Idle);
        await UseAsync(async l =>
        {
            await l.Session.RequestAsync("two");
            await Limits.UntilAsync(() => !l.Session.IsReadOut, "the second reply did not come");
        });
        Assert.Equal(0, pool.Idle);
        var last = await UseAsync(l => l.Session.RequestAsync("c").AsTask());
        Assert.Equal(1, pool.Idle);
        await harbour.StopAsync();
        await Limits.UntilAsync(() => last.CloseReason is not null, "its end was not noticed");
        harbour.Start();
        Assert.NotEqual(last, await UseAsync(l => l.Session.RequestAsync("d").AsTask()));
    }

    [Fact]
    public async Task Idle_ones_are_closed_after_their_time_and_all_of_them_at_the_end()
    {
        var time = new ManualTime();
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start();
        var pool = harbour.Pool(o => o.Transport.Time = time);
        var (one, two) = (await pool.RentAsync(), await pool.RentAsync());
        await one.DisposeAsync();
        await one.DisposeAsync(); // once more changes nothing
        time.Advance(TimeSpan.FromSeconds(40));
        await two.DisposeAsync();
        Assert.Equal(2, pool.Idle);
        time.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal(1, pool.Idle);
        time.Advance(TimeSpan.FromSeconds(40));
        Assert.Equal(0, pool.Idle);

        var rented = await pool.RentAsync();
        await pool.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => pool.RentAsync().InTime());
        Assert.Null(rented.Session.CloseReason);
        await rented.DisposeAsync();
        Assert.NotNull(rented.Session.CloseReason);
        Assert.Equal(0, time.Pending);
    }

    [Fact]
    public async Task Who_waits_for_one_is_served_in_turn_cancelled_or_told_of_the_end()
    {
        await using var harbour = new Harbour(Rig.Memory);
        await using var pool = harbour.Pool(o => o.MaxSize = 1);
        for (var i = 0; i < 3; i++) // a failed connect gives its place back
            await Assert.ThrowsAsync<ConnectException>(() => pool.RentAsync().InTime());
        harbour.Start();
        var lease = await pool.RentAsync();
        using var given = new CancellationTokenSource();
        var (cancelled, next, late) = (pool.RentAsync(given.Token).AsTask(), pool.RentAsync(), pool.RentAsync());
        await given.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled.InTime());
        await lease.DisposeAsync();
        Assert.Equal(lease.Session.Id, (await next.InTime()).Session.Id);
        await pool.DisposeAsync();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => late.InTime());
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task The_reply_to_what_was_sent_without_asking_never_reaches_the_next_tenant(bool waits)
    {
        await using var harbour = new Harbour(Rig.Memory);
        var gate = new TaskCompletionSource();
        harbour.Start(async (session, line) =>
        {
            if (line == "secret")
                await gate.Task;
            await session.SendAsync($"re: {line}");
        });
        await using var pool = harbour.Pool(o => o.OnConnected = (session, stop) => session.SendAsync("login", stop));
        Session<string> first;
        await using (var lease = await pool.RentAsync(Limits.Soon))
        {
            first = lease.Session;
            Assert.Equal("re: login", await first.ReceiveAsync(Limits.Soon));
        }

        Assert.Equal(1, pool.Idle); // the login was the pool's
        await using (var lease = await pool.RentAsync(Limits.Soon))
        {
            Assert.Equal(first, lease.Session);
            if (waits)
            {
                await first.SendAsync("secret");
                using var given = new CancellationTokenSource(TimeSpan.FromMilliseconds(20));
                await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first.ReceiveAsync(given.Token).InTime());
            }
            else
            {
                Assert.True(first.TrySend("secret"));
            }
        }

        Assert.Equal(0, pool.Idle);
        await using (var lease = await pool.RentAsync(Limits.Soon))
        {
            gate.SetResult();
            Assert.NotEqual(first, lease.Session);
            Assert.Equal("re: login", await lease.Session.ReceiveAsync(Limits.Soon));
            Assert.Equal("re: mine", await lease.Session.RequestAsync("mine").InTime());
        }
    }

    [Fact]
    public async Task Without_a_correlation_or_with_a_time_that_no_timer_can_count_there_is_no_pool()
    {
        await using var harbour = new Harbour(Rig.Memory);
        Assert.Contains("SocketClientPoolOptions.Session",
            Assert.Throws<InvalidSettingException>(() => harbour.Pool(o => o.Session = new())).Message);
        foreach (var time in new[] { TimeSpan.Zero, TimeSpan.FromDays(50) })
            Assert.Throws<ArgumentOutOfRangeException>(() => harbour.Pool(o => o.IdleTimeout = time));
        harbour.Start();
        await using var pool = harbour.Pool(o => o.IdleTimeout = TimeSpan.FromDays(49));
        await (await pool.RentAsync(Limits.Soon)).DisposeAsync();
        Assert.Equal(1, pool.Idle);
    }

    [Fact]
    public async Task A_login_that_gives_up_is_no_end_of_the_pool()
    {
        await using var harbour = new Harbour(Rig.Memory);
        harbour.Start();
        await using var pool = harbour.Pool(o => o.OnConnected = (_, _) =>
            throw new OperationCanceledException("my own time is over"));
        var error = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => pool.RentAsync().InTime());
        Assert.Equal("my own time is over", error.Message);
    }

    private static async ValueTask TwiceAsync(Session<string> session)
    {
        await session.SendAsync("one");
        await session.SendAsync("two");
    }
}
