using Microsoft.Extensions.Logging;
using Xunit;

namespace Mortise.Tests.Server;

/// <summary>The owner's logger is code like any other: when it throws, nothing is lost but its line.</summary>
public sealed class ThrowingLogTests
{
    [Fact]
    public async Task A_logger_that_throws_costs_neither_the_listener_nor_a_place()
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        var log = new ThrowingLog();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), (_, _) =>
            throw new InvalidOperationException("planted"), o =>
            {
                o.MaxConnections = 1;
                o.Logger = log;
            });
        log.Throws = true;

        // One place: a second client is served only if the first one's was given back.
        for (var i = 0; i < 3; i++)
        {
            await using var client = await SocketClient.ConnectAsync(server.Endpoints[0],
                cancellationToken: patience.Token);
            await client.SendAsync("hello\n"u8.ToArray(), patience.Token);
            Assert.Equal(0, await client.ReceiveAsync(new byte[1], patience.Token));
        }

        Assert.True(log.Lines > 0);
    }

    private sealed class ThrowingLog : ILogger
    {
        public bool Throws { get; set; }

        public int Lines { get; private set; }

        public bool IsEnabled(LogLevel logLevel) => true;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            if (!Throws)
                return;
            Lines++;
            throw new InvalidOperationException("the log is broken");
        }
    }
}
