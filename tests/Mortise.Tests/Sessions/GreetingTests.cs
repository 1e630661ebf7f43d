using Mortise.Tests.Conformance;
using Mortise.Tests.Sessions.Groups;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>A server that speaks first, and one that speaks differently at each endpoint.</summary>
public sealed class GreetingTests
{
    private static readonly Codec<string> Text = Codec.Lines();
    private static readonly Codec<string> Prefixed = Codec.LengthPrefixed().Utf8();

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task A_session_is_there_before_the_first_message(string way)
    {
        await using var server = Start(way, [(At(way, "greet"), c => GreetAsync(c, Text))]);
        await using var first = await ConnectAsync(server.Endpoints[0], Text);
        await using var second = await ConnectAsync(server.Endpoints[0], Text);
        Assert.Equal("welcome", await first.ReceiveAsync(Limits.Soon));
        Assert.Equal("welcome", await second.ReceiveAsync(Limits.Soon));
        await first.SendAsync("hi"); // the second has said nothing, and hears it
        Assert.Equal("hi", await second.ReceiveAsync(Limits.Soon));
    }

    [Theory, MemberData(nameof(Hall.Ways), MemberType = typeof(Hall))]
    public async Task Each_endpoint_has_its_own_handler_and_all_share_their_groups(string way)
    {
        await using var server = Start(way,
            [(At(way, "text"), c => GreetAsync(c, Text)), (At(way, "prefixed"), c => GreetAsync(c, Prefixed))]);
        await using var one = await ConnectAsync(server.Endpoints[0], Text);
        await using var other = await ConnectAsync(server.Endpoints[1], Prefixed);
        Assert.Equal("welcome", await one.ReceiveAsync(Limits.Soon));
        Assert.Equal("welcome", await other.ReceiveAsync(Limits.Soon));
        await one.SendAsync("said in a line");
        Assert.Equal("said in a line", await other.ReceiveAsync(Limits.Soon));
        await other.SendAsync("two\r lines?");
        Assert.Equal("two\r lines?", await one.ReceiveAsync(Limits.Soon));
        Assert.Equal(2, server.Statistics.Accepted);
        Assert.Equal(2, (await server.StopAsync()).Finished);
    }

    [Fact]
    public void Where_one_endpoint_cannot_be_bound_none_is()
    {
        var free = Loopback.FreeEndpoint();
        using var held = SocketServer.Listen(Loopback.FreeEndpoint());
        Assert.Throws<BindException>(() => SocketServer.Start(
            [(free, c => Task.CompletedTask), (held.Endpoint, c => Task.CompletedTask)]));
        SocketServer.Listen(free).Dispose();
    }

    private static async Task GreetAsync(Connection connection, Codec<string> codec)
    {
        var session = connection.AsSession(codec);
        Assert.True(session.Groups["all"].Add(session));
        await session.SendAsync("welcome");
        await session.HandleAsync(async (s, m) => await s.Groups["all"].BroadcastAsync(m, except: s));
    }

    private static Endpoint At(string way, string name) => way == "memory" ? $"mem:{name}" : "tcp://127.0.0.1:0";

    private static SocketServer Start(string way,
        IReadOnlyList<(Endpoint Endpoint, Func<Connection, Task> Handler)> endpoints) => SocketServer.Start(endpoints,
        o => Tune(o.Transport, way));

    private static ValueTask<Session<string>> ConnectAsync(Endpoint at, Codec<string> codec) =>
        SocketClient.ConnectAsync(at, codec, o => Tune(o.Transport, "memory"), Limits.Soon);

    private static void Tune(TransportOptions options, string way) => options.Engine =
        Enum.TryParse<EngineKind>(way, out var kind) ? kind : EngineKind.Managed;
}
