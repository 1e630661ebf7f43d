using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Sessions.Groups;

/// <summary>What a broadcast costs, and that large groups work.</summary>
[Collection("alone")]
public sealed class CrowdTests
{
    private const int Broadcasts = 50, Measures = 3;

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_broadcast_allocates_the_same_for_a_thousand_members_as_for_ten(EngineKind engine)
    {
        var few = await AllocatedPerBroadcastAsync(engine, 10);
        var many = await AllocatedPerBroadcastAsync(engine, 1000);
        Assert.InRange(many, 0, few + 990); // less than a byte for each member more
        Assert.InRange(few, 1, 4000);
        TestContext.Current.TestOutputHelper?.WriteLine($"{engine}: 10 members {few} bytes, 1,000 members {many}");
    }

    [Fact]
    public async Task Five_thousand_members_all_hear_it()
    {
        var codec = new CountingCodec();
        await using var hall = Hall.Open("memory", codec: codec);
        await HearThreeAsync(hall, 5000);
        Assert.Equal(3, codec.Encoded);
    }

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task So_do_two_thousand_over_sockets(EngineKind engine)
    {
        var codec = new CountingCodec();
        await using var hall = Hall.Open(engine.ToString(), codec: codec);
        await HearThreeAsync(hall, 2000);
        Assert.Equal(3, codec.Encoded);
    }

    private static async Task HearThreeAsync(Hall hall, int members)
    {
        var pairs = await hall.EnterAsync("all", members);
        Assert.Equal(members, hall["all"].Count);
        Assert.Equal(new BroadcastResult(members, 0), hall["all"].Broadcast("one"));
        Assert.Equal(new BroadcastResult(members - 1, 0), hall["all"].Broadcast("two", except: pairs[7].Member));
        Assert.Equal(new BroadcastResult(members, 0), await hall["all"].BroadcastAsync("three"));
        for (var i = 0; i < members; i++)
        {
            string[] expected = i == 7 ? ["one", "three"] : ["one", "two", "three"];
            Assert.Equal(expected, await GroupTests.HearAsync(pairs[i].Client, expected.Length));
        }

        pairs.ForEach(p => p.Client.Abort());
        await Limits.UntilAsync(() => hall["all"].Count == 0, "members were left behind");
    }

    /// <summary>The clients are sockets that nobody reads meanwhile: what is allocated is the server's.</summary>
    private static async Task<long> AllocatedPerBroadcastAsync(EngineKind engine, int members)
    {
        var joined = 0;
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), (s, _) =>
        {
            s.Groups["all"].Add(s);
            Interlocked.Increment(ref joined);
            return ValueTask.CompletedTask;
        }, o => o.Transport.Set(engine));
        var clients = new List<Socket>();
        for (var i = 0; i < members; i++)
        {
            var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            client.Connect(server.Endpoints[0].ToSocketEndPoint()!);
            client.Send("join\n"u8);
            clients.Add(client);
        }

        await Limits.UntilAsync(() => Volatile.Read(ref joined) == members, "not all came");
        var all = server.Groups<string>()["all"];
        var line = new string('x', 63);
        async Task SayAsync()
        {
            for (var i = 0; i < Broadcasts; i++)
                Assert.Equal(new BroadcastResult(members, 0), await all.BroadcastAsync(line));
        }

        await SayAsync();
        await SayAsync();
        var least = long.MaxValue; // what else the runtime does now and then is not the broadcast's
        for (var i = 0; i < Measures; i++)
        {
            var before = GC.GetTotalAllocatedBytes(precise: true);
            await SayAsync();
            least = Math.Min(least, GC.GetTotalAllocatedBytes(precise: true) - before);
        }

        var bytes = new byte[64];
        foreach (var client in clients)
        {
            for (var received = 0; received < (2 + Measures) * Broadcasts * 64;)
                received += client.Receive(bytes);
            client.Dispose();
        }

        return least / Broadcasts;
    }
}
