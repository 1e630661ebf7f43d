using System.Diagnostics;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Client;

/// <summary>Connecting to what is there, to what is not there yet, and to what never answers.</summary>
[Collection("alone")]
public sealed class ConnectTests
{
    private static readonly Endpoint AnyPort = Endpoint.Parse("tcp://127.0.0.1:0");

    [Fact]
    public async Task A_client_that_starts_first_connects_when_the_server_appears()
    {
        var endpoint = Free();
        var pauses = new List<TimeSpan>();
        SocketServer? server = null;
        await using var client = await SocketClient.ConnectAsync(endpoint, o =>
        {
            o.Retries = 10;
            o.RetryBackoff = Backoff.Exponential(TimeSpan.FromMilliseconds(20), TimeSpan.FromMilliseconds(100));
            o.OnRetry = (retry, error, pause) =>
            {
                pauses.Add(pause);
                Assert.Equal("ECONNREFUSED", error.Symbol);
                if (retry == 3)
                    server = SocketServer.Start(endpoint, c => c.Input.CopyToAsync(c.Output));
            };
        }, Limits.Soon);
        await using (server)
            Assert.Equal(3, pauses.Count);
        using var stop = new CancellationTokenSource(50);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await SocketClient.ConnectAsync(Free(), o =>
            (o.Retries, o.RetryBackoff) = (1000, Backoff.Constant(TimeSpan.FromMinutes(1))), stop.Token));
        Row.Observed("H02", $"3 refusals, pauses {string.Join(", ", pauses.Select(p => (int)p.TotalMilliseconds))} ms, "
            + "then connected; a further try was cancelled during its pause");
    }

    [Fact]
    public void Pauses_grow_to_their_limit_and_are_drawn_from_the_upper_half()
    {
        var low = Backoff.Exponential(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), random: () => 0);
        var high = Backoff.Exponential(TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(1), random: () => 0.999);
        var longest = new[] { 100, 200, 400, 800, 1000, 1000 };
        for (var retry = 1; retry <= longest.Length; retry++)
        {
            Assert.Equal(longest[retry - 1] / 2.0, low.Pause(retry).TotalMilliseconds);
            Assert.InRange(high.Pause(retry).TotalMilliseconds, longest[retry - 1] * 0.99, longest[retry - 1]);
        }

        Assert.Equal(TimeSpan.FromSeconds(0.5), low.Pause(int.MaxValue));
    }

    [Fact]
    public async Task Nobody_listening_is_refused_at_once_and_says_why()
    {
        var started = Stopwatch.GetTimestamp();
        var error = await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(Free()));
        Assert.Equal(("ECONNREFUSED", 111), (error.Symbol, error.Errno));
        Assert.Single(error.Attempts);
        var elapsed = Stopwatch.GetElapsedTime(started);
        Assert.InRange(elapsed, TimeSpan.Zero, TimeSpan.FromSeconds(1));
        Row.Observed("H03", $"after {elapsed.TotalMilliseconds:0.0} ms: {error.Message}");
    }

    [Fact]
    public async Task Failed_connects_leave_no_descriptor()
    {
        var endpoint = Free();
        await FailAsync(endpoint);
        var before = Limits.OpenSockets();
        for (var i = 0; i < 1000; i++)
            await FailAsync(endpoint);
        await Limits.UntilAsync(() => Limits.OpenSockets() <= before, "failed connects left sockets open");
        var after = Limits.OpenSockets();
        Row.Observed("H08", $"descriptors before 1000 failed connects {before}, after {after}");
        Row.Observed("Z22", $"a failed connect closes its socket: {after} open after 1000 of them");
        Row.Observed("H09", "each of 1001 connects threw a ConnectException; none returned half a connection");
    }

    [Fact]
    public async Task A_connect_in_progress_is_cancelled_and_closed()
    {
        using var listener = SocketServer.Listen(AnyPort, new TransportOptions { Backlog = 0 });
        await using var filler = await SocketClient.ConnectAsync(listener.Endpoint);
        var before = Limits.OpenSockets();
        using var stop = new CancellationTokenSource();
        var connecting = SocketClient.ConnectAsync(listener.Endpoint, null, stop.Token).AsTask();
        await Limits.UntilAsync(() => Limits.OpenSockets() > before, "no socket was made");
        Assert.False(connecting.IsCompleted);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => connecting.InTime());
        await Limits.UntilAsync(() => Limits.OpenSockets() <= before, "a socket is left");
        var error = await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(
            listener.Endpoint, o => o.ConnectTimeout = TimeSpan.FromMilliseconds(60)));
        Assert.Equal("ETIMEDOUT", error.Symbol);
        Row.Observed("H10", $"in progress until cancelled; the descriptor was closed. With a timeout: {error.Message}");
    }

    [Fact]
    public async Task A_socket_that_connects_to_itself_is_a_refusal()
    {
        var endpoint = Free();
        var error = await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(endpoint,
            o => o.Transport.Bind = endpoint));
        Assert.Equal("ECONNREFUSED", error.Symbol);
        Assert.Contains("itself", error.Message, StringComparison.Ordinal);
        Row.Observed("H13", $"bound to and dialled {endpoint}: {error.Message}");
    }

    private static async Task FailAsync(Endpoint endpoint) =>
        await Assert.ThrowsAsync<ConnectException>(async () => await SocketClient.ConnectAsync(endpoint));

    /// <summary>A port where nobody listens: one that the kernel has just given and taken back.</summary>
    private static Endpoint Free() => Loopback.FreeEndpoint();
}
