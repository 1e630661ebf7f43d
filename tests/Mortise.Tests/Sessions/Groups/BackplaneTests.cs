using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using Mortise.Sessions.Groups;
using Mortise.Telemetry;
using Mortise.Testing;
using Mortise.Tests.Conformance;
using Mortise.Tests.Server;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>Groups over two servers: what the seam promises to users, and to who writes a backplane.</summary>
public sealed class BackplaneTests
{
    private readonly MemoryBackplane.Bus _bus = new();

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Members_elsewhere_hear_it_once_in_each_speakers_order_and_it_is_encoded_once(string way)
    {
        const int Lines = 300;
        var codec = new CountingCodec();
        await using var here = Open(way, codec, codec);
        await using var there = Open(way, codec, codec);
        var a = await here.Hall.EnterAsync("lobby", 3);
        var b = await there.Hall.EnterAsync("lobby", 3);
        await FollowedAsync(here, there);
        var (encoded, decoded) = (codec.Encoded, codec.Decoded);
        var hearing = a.Concat(b).Select((p, i) => GroupTests.HearAsync(p.Client, (i == 0 ? 1 : 2) * Lines)).ToList();
        await Task.WhenAll(Task.Run(() => SayAsync(here.Hall, "a", a[0].Member)),
            Task.Run(() => SayAsync(there.Hall, "b", b[0].Member))).InTime();
        var heard = await Task.WhenAll(hearing).InTime();
        for (var member = 0; member < heard.Length; member++)
        {
            foreach (var speaker in "ab")
            {
                var own = heard[member].Where(l => l[0] == speaker);
                var lines = member == 0 && speaker == 'a' ? 0 : Lines;
                Assert.Equal(Enumerable.Range(0, lines).Select(i => $"{speaker} {i}"), own);
            }
        }

        Assert.Equal(2 * Lines, codec.Encoded - encoded);
        Assert.Equal(decoded, codec.Decoded);
        Assert.Equal(1, here.Backplane.MostCallsAtOnce);

        // The excepted is a session of the server that speaks; elsewhere all hear it, and each counts its own.
        async Task SayAsync(Hall hall, string name, Session<string> except)
        {
            for (var i = 0; i < Lines; i++)
            {
                var left = name == "a" ? except : null;
                Assert.Equal(new BroadcastResult(name == "a" ? 2 : 3, 0), i % 2 == 0
                    ? hall["lobby"].Broadcast($"{name} {i}", left)
                    : await hall["lobby"].BroadcastAsync($"{name} {i}", left));
            }
        }
    }

    [Fact]
    public async Task Who_speaks_another_codec_gets_it_in_that_one_and_a_server_without_members_may_speak()
    {
        var wire = Codec.LengthPrefixed().Utf8();
        await using var here = Open("memory", Codec.Lines(), wire);
        await using var there = Open("memory", Codec.Lines(), wire);
        var pairs = await there.Hall.EnterAsync("lobby", 2);
        await FollowedAsync(there);
        Assert.Equal(default, here.Hall["lobby"].Broadcast("from outside"));
        foreach (var (client, _) in pairs)
            Assert.Equal(["from outside"], await GroupTests.HearAsync(client, 1));
        Assert.Equal(0, here.Hall["lobby"].Count);
    }

    [Fact]
    public async Task A_group_is_followed_from_its_first_member_to_its_last()
    {
        await using var here = Open("memory");
        await using var there = Open("memory");
        var (_, one) = await there.Hall.EnterAsync();
        var (_, two) = await there.Hall.EnterAsync();
        here.Hall["lobby"].Broadcast("nobody follows");
        await Limits.UntilAsync(() => here.Backplane.Calls.Contains("lobby"), "not published");
        Assert.Equal(0, _bus.Delivered);
        there.Hall["lobby"].Add(one);
        there.Hall["lobby"].Add(two);
        await FollowedAsync(there);
        there.Hall["lobby"].Remove(one);
        one.Abort();
        two.Abort();
        await Limits.UntilAsync(() => there.Backplane.Calls.Contains("-lobby"), "not left");
        here.Hall["lobby"].Broadcast("nobody follows any more");
        await Limits.UntilAsync(() => here.Backplane.Calls.Count(c => c == "lobby") == 2, "not published");
        Assert.Equal(0, _bus.Delivered);
        Assert.Equal(["start", "+lobby", "-lobby"], there.Backplane.Calls);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_stuck_backplane_holds_nobody_back_and_what_is_too_much_is_dropped_and_counted(EngineKind engine)
    {
        const int Lines = 200, LineBytes = 100_000; // 20 MB: more than twice what may wait
        var gate = new TaskCompletionSource();
        await using var here = Open(engine.ToString());
        await using var there = Open("memory", configure: o => o.QueueBytesMax = 64 * 1024 * 1024);
        var a = await here.Hall.EnterAsync("lobby", 2);
        var b = await there.Hall.EnterAsync("lobby", 1);
        await FollowedAsync(here, there);
        here.Backplane.Slowness = gate.Task;
        here.Hall.OnLine = (s, line) =>
        {
            if (line == "go")
            {
                var clock = Stopwatch.StartNew();
                s.Groups["lobby"].Broadcast($"first {new string('.', LineBytes)}");
                Assert.InRange(clock.ElapsedMilliseconds, 0, 5000);
            }

            return default;
        };
        await a[0].Client.SendAsync("go");
        foreach (var (client, _) in a)
            Assert.StartsWith("first", await client.ReceiveAsync(Limits.Soon));
        var dropped = Dropped;
        for (var i = 0; i < Lines; i++)
        {
            await here.Hall["lobby"].BroadcastAsync($"{i} {new string('.', LineBytes)}");
            foreach (var (client, _) in a)
                Assert.StartsWith($"{i} ", await client.ReceiveAsync(Limits.Soon));
        }

        var lost = Dropped - dropped;
        Assert.InRange(lost, Lines / 2, Lines - 80);
        gate.SetResult();
        Assert.StartsWith("first", await b[0].Client.ReceiveAsync(Limits.Soon));
        for (var i = 0; i < Lines - lost; i++) // the oldest were kept
            Assert.StartsWith($"{i} ", await b[0].Client.ReceiveAsync(Limits.Soon));
    }

    [Fact]
    public async Task One_that_fails_is_tried_again_and_says_so_once()
    {
        var time = new ManualTime();
        var log = new WarningLog();
        var backplane = new MemoryBackplane(_bus) { IsBroken = true };
        await using var there = Open("memory");
        await using var here = Open("memory", backplane: backplane, configure: o =>
        {
            o.Logger = log;
            o.Transport.Time = time;
            o.IdleTimeout = o.FrameTimeout = o.WriteStallTimeout = Timeout.InfiniteTimeSpan;
        });
        await Limits.UntilAsync(() => backplane.Calls.Count == 1, "not started");
        var (hall, (client, member)) = (here.Hall, await here.Hall.EnterAsync());
        hall["lobby"].Add(member);
        hall["lobby"].Broadcast("local");
        Assert.Equal(["local"], await GroupTests.HearAsync(client, 1));
        backplane.IsBroken = false;
        await Limits.UntilAsync(() => Advanced(time) && backplane.Calls.Contains("+lobby"), "not started again");
        await Limits.UntilAsync(() => backplane.Calls.Contains("lobby"), "what waited was not published");

        backplane.IsBroken = true;
        var dropped = Dropped;
        hall["lobby"].Broadcast("lost");
        hall["den"].Add(member);
        await Limits.UntilAsync(() => backplane.Calls.Contains("+den") && Dropped == dropped + 1, "not counted");
        backplane.IsBroken = false;
        await Limits.UntilAsync(() => Advanced(time) && backplane.Calls.Count(c => c == "+den") > 1, "not tried again");
        await Limits.UntilAsync(() => backplane.Calls.Contains("+lobby"), "forgotten");
        Assert.Equal(2, log.Text.Split('\n').Count(l => l.StartsWith("The backplane fails", StringComparison.Ordinal)));
        there.Hall["den"].Broadcast("it works again");
        Assert.Equal(["lost", "it works again"], await GroupTests.HearAsync(client, 2));
    }

    [Fact]
    public async Task Groups_that_come_and_go_while_the_backplane_is_away_leave_nothing_waiting()
    {
        var time = new ManualTime();
        var backplane = new MemoryBackplane(_bus) { IsBroken = true };
        await using var here = Open("memory", backplane: backplane, configure: o => o.Transport.Time = time);
        var (hall, (_, member)) = (here.Hall, await here.Hall.EnterAsync());
        for (var i = 0; i < 1000; i++)
        {
            hall[$"{i}"].Add(member);
            hall[$"{i}"].Remove(member);
            hall["lobby"].Add(member);
            if (i < 999)
                hall["lobby"].Remove(member);
        }

        var bridge = Mortise.Server.ConnectionServer.Of(member.Connection)!
            .Shared<GroupRegistry>(_ => throw new NotSupportedException()).BridgeOf<string>()!;
        Assert.InRange(bridge.Waiting, 1, 2);
        backplane.IsBroken = false;
        await Limits.UntilAsync(() => Advanced(time) && backplane.Calls.Contains("+lobby"), "not started again");
        hall["lobby"].Remove(member);
        await Limits.UntilAsync(() => backplane.Calls.Contains("-lobby"), "not left");
        Assert.Equal(["+lobby", "-lobby"], backplane.Calls.Where(c => c != "start"));
        Assert.Equal(0, bridge.Waiting);
    }

    [Fact]
    public async Task Gaps_are_counted_and_told()
    {
        var told = new ConcurrentQueue<string>();
        await using var here = Open("memory", onMissed: (n, groups) =>
        {
            told.Enqueue($"{n} of {string.Join(',', groups)}");
            throw new InvalidOperationException("planted: it must not reach the backplane");
        });
        await Limits.UntilAsync(() => _bus.Nodes.Count == 1, "not started");
        var before = MortiseMeter.Totals()[Metrics.BackplaneGap];
        here.Backplane.Receiver.Missed(3, ["lobby", "den"]);
        here.Backplane.Receiver.Missed(1, []);
        Assert.Equal(["3 of lobby,den", "1 of "], told);
        Assert.Equal(4, MortiseMeter.Totals()[Metrics.BackplaneGap] - before);
    }

    [Theory, InlineData("half a fra"), InlineData(""), InlineData("one\ntwo\n"), InlineData("one\nhal")]
    public async Task What_is_not_one_whole_frame_reaches_nobody(string bytes)
    {
        await using var here = Open("memory");
        var pairs = await here.Hall.EnterAsync("lobby", 1);
        await FollowedAsync(here);
        var dropped = Dropped;
        here.Backplane.Receiver.Receive("lobby", Encoding.UTF8.GetBytes(bytes));
        here.Backplane.Receiver.Receive("nobody's", Encoding.UTF8.GetBytes(bytes));
        here.Backplane.Receiver.Receive("lobby", "a whole one\n"u8.ToArray());
        Assert.Equal(["a whole one"], await GroupTests.HearAsync(pairs[0].Client, 1));
        Assert.Equal(1, Dropped - dropped);
    }

    [Fact]
    public void A_backplane_serves_one_server_s_messages_of_one_type()
    {
        var (one, two) = (new MemoryBackplane(_bus), new MemoryBackplane(_bus));
        Assert.Throws<ArgumentException>(() => SocketServer.Start("mem:twice", _ => Task.CompletedTask, o =>
        {
            o.UseBackplane(one, Codec.Lines());
            o.UseBackplane(two, Codec.Lines());
        }));
        Assert.Throws<ArgumentException>(() => SocketServer.Start("mem:twice", _ => Task.CompletedTask, o =>
        {
            o.UseBackplane(one, Codec.Lines());
            o.UseBackplane(one, Codec.Frames(Framing.Parse("line")));
        }));
    }

    private static long Dropped => MortiseMeter.Totals()[Metrics.Dropped, (int)DropReason.Backplane];

    private static bool Advanced(ManualTime time)
    {
        time.Advance(TimeSpan.FromSeconds(1));
        return true;
    }

    private static async Task FollowedAsync(params Node[] nodes)
    {
        foreach (var node in nodes)
            await Limits.UntilAsync(() => node.Backplane.Calls.Contains("+lobby"), "the group is not followed");
    }

    private Node Open(string way, Codec<string>? codec = null, Codec<string>? wire = null,
        MemoryBackplane? backplane = null, Action<ServerOptions>? configure = null,
        Action<long, IReadOnlyCollection<string>>? onMissed = null)
    {
        backplane ??= new MemoryBackplane(_bus);
        codec ??= Codec.Lines();
        return new(Hall.Open(way, o =>
        {
            o.UseBackplane(backplane, wire ?? codec, onMissed);
            configure?.Invoke(o);
        }, codec), backplane);
    }

    private sealed record Node(Hall Hall, MemoryBackplane Backplane) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => Hall.DisposeAsync();
    }
}
