using Xunit;

namespace Mortise.Tests.Conformance;

/// <summary>Metrics and logs stand on close reasons: a program cannot say what it cannot know.</summary>
public sealed class GivenReasonTests
{
    private static readonly CloseReason[] Engines =
    [
        CloseReason.Reset, CloseReason.PeerDead, CloseReason.WriteStalled, CloseReason.HandlerFault, CloseReason.Drain,
        (CloseReason)(-1), CloseReason.Abort + 1,
    ];

    [Theory, MemberData(nameof(Rig.All), MemberType = typeof(Rig))]
    public async Task A_reason_that_only_the_engine_can_know_is_refused_and_nothing_ends(string name)
    {
        await using var rig = await Rig.ConnectAsync(name);
        var connection = rig.Client;
        foreach (var reason in Engines)
        {
            Assert.Throws<ArgumentOutOfRangeException>(() => connection.Abort(reason));
            Assert.Throws<ArgumentOutOfRangeException>(() => connection.EndInput(reason));
            Assert.Throws<ArgumentOutOfRangeException>(() => { _ = Close(reason); });
        }

        // An orderly end that calls itself an abort is a lie too.
        Assert.Throws<ArgumentOutOfRangeException>(() => { _ = Close(CloseReason.Abort); });
        Assert.Throws<ArgumentOutOfRangeException>(() => connection.EndInput(CloseReason.Abort));
        Assert.Null(connection.CloseReason);
        await connection.SendAsync("alive"u8.ToArray());
        var got = new byte[5];
        await rig.Server.ReceiveExactlyAsync(got, Limits.Soon);
        Assert.Equal("alive"u8.ToArray(), got);

        connection.Abort(CloseReason.RateLimit);
        Assert.Equal(CloseReason.RateLimit, connection.CloseReason);

        ValueTask Close(CloseReason reason) => connection.CloseAsync(reason, Limits.Time, TimeSpan.Zero);
    }
}
