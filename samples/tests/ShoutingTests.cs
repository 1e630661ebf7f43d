// Tests of a server of lines that answers in capitals: no port, a bad network, a clock that the test moves.
using Mortise;
using Mortise.Testing;
using Xunit;

namespace Shouting.Tests;

public sealed class ShoutingTests
{
    private static ValueTask ShoutAsync(Session<string> session, string line) =>
        line.Length == 0 ? throw new ArgumentException("nothing to shout") : session.SendAsync(line.ToUpperInvariant());

    [Fact]
    public async Task Lines_come_back_in_capitals_however_the_network_cuts_them()
    {
        await using var server = TestServer.Start(Codec.Lines(), ShoutAsync);
        server.Network.FragmentTo(1);
        await using var client = await server.ConnectAsync();
        await client.SendBytesAsync("one\ntwo\n"u8.ToArray());   // two messages in one packet (粘包)
        Assert.Equal("ONE", await client.ReceiveAsync());
        Assert.Equal("TWO", await client.ReceiveAsync());
    }

    [Fact]
    public async Task One_bad_client_harms_nobody_else()
    {
        await using var server = TestServer.Start(Codec.Lines(), ShoutAsync);
        await using var good = await server.ConnectAsync();
        await using var bad = await server.ConnectAsync();
        await bad.SendAsync("");                                 // the handler throws
        await bad.ReceiveEndAsync();
        await good.SendAsync("still here");
        Assert.Equal("STILL HERE", await good.ReceiveAsync());
        Assert.Contains("nothing to shout", Assert.Single(server.Log));
    }

    [Fact]
    public async Task Who_is_silent_for_two_minutes_is_sent_away()
    {
        var time = new ManualTime();
        await using var server = TestServer.Start(Codec.Lines(), ShoutAsync, o => o.Transport.Time = time);
        await using var client = await server.ConnectAsync();
        await client.SendAsync("hello");
        Assert.Equal("HELLO", await client.ReceiveAsync());
        time.Advance(TimeSpan.FromMinutes(3));                   // takes no time
        await client.ReceiveEndAsync();
    }

    [Fact]
    public void The_codec_survives_every_cut() => CodecVerifier.VerifyEverySplit(Codec.Lines(), "one", "", "three");
}
