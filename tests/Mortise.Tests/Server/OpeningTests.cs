using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Mortise.Tests.Transports.Loops;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>What comes between the accept and the handler, whatever it is.</summary>
public sealed class OpeningTests
{
    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task The_handler_begins_at_home_after_all_openings_in_their_order(EngineKind engine)
    {
        var steps = new List<string>();
        var begun = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = Served.Start(engine, c =>
        {
            begun.SetResult(Served.IsLoopThread && c.IsHomeThread);
            return Task.CompletedTask;
        }, o =>
        {
            o.Openings.Add(async (_, late) =>
            {
                await Task.Run(() => steps.Add("one"), late);
            });
            o.Openings.Add((_, _) =>
            {
                steps.Add("two");
                return default;
            });
        });
        await using var client = await server.ConnectAsync();
        Assert.True(await begun.Task.InTime());
        Assert.Equal(["one", "two"], steps);
    }

    [Theory]
    [InlineData("refused", CloseReason.ProxyHeader)]
    [InlineData("late", CloseReason.HandshakeTimeout)]
    [InlineData("fault", CloseReason.HandlerFault)]
    public async Task One_that_fails_closes_its_connection_for_its_reason_and_no_other(string way, CloseReason reason)
    {
        var closed = new TaskCompletionSource<CloseReason?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var second = false;
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", c => c.Input.CopyToAsync(c.Output, c.Closed),
            o =>
            {
                o.HandshakeTimeout = TimeSpan.FromMilliseconds(100);
                o.OnClosed = c => closed.TrySetResult(c.CloseReason);
                o.Openings.Add(async (_, late) =>
                {
                    if (second)
                        return;
                    second = true;
                    if (way == "late")
                        await Task.Delay(Limits.Time, late);
                    throw way == "refused" ? new HandshakeException("proxy", CloseReason.ProxyHeader, "none came")
                        : new InvalidOperationException("planted");
                });
            });
        await using var refused = await server.ConnectAsync();
        Assert.Equal(reason, await closed.Task.InTime());
        await using var client = await server.ConnectAsync();
        await client.SendAsync("hello"u8.ToArray());
        await client.ReceiveExactlyAsync(new byte[5], Limits.Soon);
    }
}
