using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Closing in order, when something is in the way of it.</summary>
[Collection("alone")]
public sealed class CloseTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_close_that_fails_ends_the_connection_all_the_same(EngineKind engine)
    {
        var refused = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, async c =>
        {
            await c.ReceiveAsync(new byte[1]);
            var tooLong = TimeSpan.FromDays(100); // no timer can be set to it
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
                () => c.CloseAsync(CloseReason.Local, tooLong, tooLong).AsTask());
            refused.SetResult();
            await Task.Delay(Limits.Time, c.Closed);
        });
        await using var client = await server.ConnectAsync();
        await client.SendAsync(new byte[1]);
        await refused.Task.InTime();
        await Limits.UntilAsync(() => server.Statistics.Current == 0, "the connection is left");
    }
}
