using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Transports.Loops;

/// <summary>Who blocks a loop is named while he does it.</summary>
[Collection("alone")]
public sealed class WatchdogTests
{
    private static readonly TimeSpan Blocked = TimeSpan.FromMilliseconds(600);

    public static TheoryData<EngineKind, string> Cases
    {
        get
        {
            var cases = new TheoryData<EngineKind, string>();
            foreach (var engine in Engines.WithLoops.Select(row => row.Data))
                foreach (var after in (string[])["start", "receive", "delay"])
                    cases.Add(engine, after);
            return cases;
        }
    }

    [Theory, MemberData(nameof(Cases))]
    public async Task A_handler_that_blocks_is_named_once_while_others_go_on(EngineKind engine, string after)
    {
        using var log = new Lines();
        using var release = new ManualResetEventSlim();
        var blocked = new TaskCompletionSource<Connection>(TaskCreationOptions.RunContinuationsAsynchronously);
        var one = 0;
        async Task BlockingHandler(Connection c)
        {
            if (Interlocked.Exchange(ref one, 1) == 1)
            {
                await c.Input.CopyToAsync(c.Output);
                return;
            }

            if (after == "receive")
                await c.ReceiveExactlyAsync(new byte[1]);
            else if (after == "delay")
                await Task.Delay(5);
            blocked.SetResult(c);
            release.Wait(Blocked);
            await c.SendAsync(new byte[1]);
        }

        await using var server = Served.Start(engine, BlockingHandler, o => o.Logger = log);
        await using var blocking = await server.ConnectAsync();
        await blocking.SendAsync(new byte[1]);
        var its = await blocked.Task.InTime();
        await using var other = await server.ConnectAsync();
        await other.SendAsync(new byte[1]);
        await other.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        Assert.Equal(0, blocking.BytesReceived); // it is blocked still
        Assert.True(await log.Blocked.WaitAsync(Blocked), "nobody was told");
        Assert.Equal(0, blocking.BytesReceived);
        await blocking.ReceiveExactlyAsync(new byte[1], Limits.Soon);
        var line = Assert.Single(log.All, l => l.Contains("has blocked", StringComparison.Ordinal));
        Assert.Contains(nameof(BlockingHandler), line, StringComparison.Ordinal);
        Assert.Matches($"connection {its.Id}( |, or of one served before it,)", line);
        Assert.Matches("mortise-loop-[12] for [12][0-9][0-9] ms", line);
    }

    private sealed class Lines : ILogger, IDisposable
    {
        private readonly SemaphoreSlim _blocked = new(0);

        public ConcurrentQueue<string> All { get; } = [];

        public SemaphoreSlim Blocked => _blocked;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter)
        {
            All.Enqueue(formatter(state, exception));
            if (All.Last().Contains("has blocked", StringComparison.Ordinal))
                _blocked.Release();
        }

        public void Dispose() => _blocked.Dispose();
    }
}
