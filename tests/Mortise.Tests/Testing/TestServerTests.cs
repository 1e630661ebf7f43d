using Mortise.Testing;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Testing;

/// <summary>What users' tests stand on: it says what did not come, and never waits for ever.</summary>
public sealed class TestServerTests
{
    private static readonly TimeSpan Short = TimeSpan.FromMilliseconds(100);

    private static TestServer<string> Parrot(Action<ServerOptions>? configure = null) =>
        TestServer.Start(Codec.Lines(), static (s, line) => line switch
        {
            "throw" => throw new InvalidDataException("a planted fault"),
            "silence" => default,
            "reset" => Reset(s),
            _ => s.SendAsync(line),
        }, configure);

    private static ValueTask Reset(Session<string> session)
    {
        session.Abort();
        return default;
    }

    [Fact]
    public async Task Two_servers_of_two_tests_never_meet()
    {
        await using var one = TestServer.Start(Codec.Lines(), static (s, _) => s.SendAsync("one"));
        await using var two = TestServer.Start(Codec.Lines(), static (s, _) => s.SendAsync("two"));
        await using var toOne = await one.ConnectAsync();
        await using var toTwo = await two.ConnectAsync();
        one.Network.StallReads();
        await toTwo.SendAsync("?");
        Assert.Equal("two", await toTwo.ReceiveAsync());
        one.Network.Heal();
        await toOne.SendAsync("?");
        Assert.Equal("one", await toOne.ReceiveAsync());
    }

    [Fact]
    public async Task A_message_that_does_not_come_is_no_endless_wait()
    {
        await using var server = Parrot();
        await using var client = await server.ConnectAsync();
        client.Patience = Short;
        await client.SendAsync("silence");
        var unmet = await Assert.ThrowsAsync<UnmetExpectationException>(() => client.ReceiveAsync().InTime());
        Assert.Equal("waited for a message for 0.1 s; the server has logged nothing", unmet.Message);
        unmet = await Assert.ThrowsAsync<UnmetExpectationException>(() => client.ReceiveEndAsync().InTime());
        Assert.Equal("waited for the end for 0.1 s; the server has logged nothing", unmet.Message);
        client.Patience = Limits.Time;
        await client.SendAsync("it goes on");
        Assert.Equal("it goes on", await client.ReceiveAsync());
    }

    [Fact]
    public async Task A_client_can_ask()
    {
        await using var server = Parrot();
        await using var client = await server.ConnectAsync(new() { Correlation = Correlate.InOrder<string>() });
        Assert.Equal("question", await client.Session.RequestAsync("question", Limits.Time));
    }

    [Fact]
    public async Task What_the_handler_threw_is_told_to_who_waited()
    {
        await using var server = Parrot();
        await using var client = await server.ConnectAsync();
        await client.SendAsync("throw");
        var unmet = await Assert.ThrowsAsync<UnmetExpectationException>(() => client.ReceiveAsync().InTime());
        Assert.StartsWith("no message came: ", unmet.Message, StringComparison.Ordinal);
        Assert.Contains("a planted fault", unmet.Message, StringComparison.Ordinal);
        Assert.Contains("a planted fault", Assert.Single(server.Log), StringComparison.Ordinal);
    }

    [Fact]
    public async Task An_end_is_not_a_message_and_not_a_reset()
    {
        await using var server = Parrot();
        await using var client = await server.ConnectAsync();
        await client.SendAsync("hello");
        var unmet = await Assert.ThrowsAsync<UnmetExpectationException>(() => client.ReceiveEndAsync().InTime());
        Assert.StartsWith("a message came, not the end: hello", unmet.Message, StringComparison.Ordinal);
        await client.SendAsync("reset");
        unmet = await Assert.ThrowsAsync<UnmetExpectationException>(() => client.ReceiveEndAsync().InTime());
        Assert.StartsWith("the end was not in order: ", unmet.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_client_that_finishes_still_gets_its_answers_and_then_the_end()
    {
        await using var server = Parrot();
        await using var client = await server.ConnectAsync();
        await client.SendAsync("last words");
        await client.FinishAsync();
        Assert.Equal("last words", await client.ReceiveAsync());
        await client.ReceiveEndAsync();
        Assert.Empty(server.Log);
    }

    [Fact]
    public async Task A_torn_frame_is_sent_as_it_is_and_named_in_the_log()
    {
        await using var server = TestServer.Start(Codec.LengthPrefixed(64), static (s, m) => s.SendAsync(m));
        await using var client = await server.ConnectAsync();
        await client.SendBytesAsync(new byte[] { 0, 0, 0, 9, 1 });
        await client.FinishAsync();
        await client.ReceiveEndAsync();
        Assert.Contains("unexpected_eof", Assert.Single(server.Log), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_handler_of_bytes_and_a_logger_of_ones_own_are_possible()
    {
        await using var server = TestServer.Start(Codec.Lines(), static c => c.Input.CopyToAsync(c.Output, c.Closed),
            static o => o.Logger = Microsoft.Extensions.Logging.Abstractions.NullLogger.Instance);
        await using var client = await server.ConnectAsync();
        await client.SendAsync("echo");
        Assert.Equal("echo", await client.ReceiveAsync());
        Assert.Single(server.Server.Connections);
        client.Abort();
        await Limits.UntilAsync(() => server.Server.Connections.Count == 0, "the connection stays");
        Assert.Empty(server.Log);
    }
}
