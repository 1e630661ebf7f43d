using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Mortise.Telemetry;
using Xunit;

namespace Mortise.Tests.Telemetry;

/// <summary>The two expositions, the activity of a connection, and the words of the log.</summary>
public sealed class MetricsTextTests
{
    private static readonly MetricSample[] Samples =
    [
        new("connections_current", "Open\nnow \\", MetricKind.Gauge, null, null, 3),
        new("closed_total", "Ended", MetricKind.Counter, "reason", "eof", 5),
        new("closed_total", "Ended", MetricKind.Counter, "reason", "a\"b\\c\nd", long.MaxValue),
    ];

    [Fact]
    public void Prometheus_text_has_help_type_prefix_and_escaped_labels() =>
        Assert.Equal("""
            # HELP mortise_connections_current Open\nnow \\
            # TYPE mortise_connections_current gauge
            mortise_connections_current 3
            # HELP mortise_closed_total Ended
            # TYPE mortise_closed_total counter
            mortise_closed_total{reason="eof"} 5
            mortise_closed_total{reason="a\"b\\c\nd"} 9223372036854775807

            """.ReplaceLineEndings("\n"), MetricsText.Prometheus(Samples));

    [Fact]
    public void Json_has_a_number_for_each_metric_and_an_object_for_each_label()
    {
        using var json = JsonDocument.Parse(MetricsText.Json([.. Samples, new("bytes_held", "", MetricKind.Gauge, null,
            null, 9)]));
        Assert.Equal(3, json.RootElement.GetProperty("connections_current").GetInt64());
        Assert.Equal(5, json.RootElement.GetProperty("closed_total").GetProperty("eof").GetInt64());
        Assert.Equal(9, json.RootElement.GetProperty("bytes_held").GetInt64());
        Assert.Equal("{}", MetricsText.Json([]));
    }

    [Fact]
    public void A_whole_snapshot_shows_every_metric_and_every_reason_also_those_at_zero()
    {
        using var counters = new ServerCounters();
        var text = MetricsText.Prometheus(Metrics.Samples(counters.Snapshot()));
        Assert.Equal(Metrics.All.Count, text.Split("# TYPE mortise_").Length - 1);
        Assert.All(Enum.GetValues<CloseReason>(),
            reason => Assert.Contains($"mortise_closed_total{{reason=\"{reason.Name()}\"}} 0\n", text));
    }

    [Fact]
    public async Task A_connection_is_an_activity_that_ends_with_its_close_reason()
    {
        var ended = new TaskCompletionSource<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == MortiseTelemetry.ActivitySourceName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = activity =>
            {
                if (activity.GetTagItem("network.local.address") is "mem:activity-test")
                    ended.TrySetResult(activity);
            },
        };
        ActivitySource.AddActivityListener(listener);
        var seenByHandler = default(Activity);
        await using var server = SocketServer.Start("mem:activity-test", _ =>
        {
            seenByHandler = Activity.Current;
            throw new InvalidOperationException("a fault of the handler");
        });
        await using var client = await SocketClient.ConnectAsync("mem:activity-test");
        var activity = await ended.Task.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.Equal("handler_fault", activity.GetTagItem("mortise.close_reason"));
        Assert.Equal(ActivityStatusCode.Error, activity.Status);
        Assert.Same(activity, seenByHandler);
    }

    [Fact]
    public void The_log_names_a_failure_by_its_symbol()
    {
        var log = new Lines();
        var entry = ErrorCatalogue.ByErrno(24);
        ServerLog.AcceptErrors(log, "tcp://*:9", entry.Symbol, entry.Errno, entry.English.Meaning,
            TimeSpan.FromSeconds(1));
        ServerLog.HandlerFault(log, new InvalidOperationException("boom"), "c-1");
        Assert.Equal("Warning Accepting on tcp://*:9 fails with EMFILE (24): this process has no free descriptor; "
            + "trying again every 00:00:01", log[0]);
        Assert.Equal("Error The handler of connection c-1 threw; the connection is closed boom", log[1]);
    }

    private sealed class Lines : List<string>, ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel level) => true;

        public void Log<TState>(LogLevel level, EventId id, TState state, Exception? exception,
            Func<TState, Exception?, string> formatter) =>
            Add($"{level} {formatter(state, exception)} {exception?.Message}".TrimEnd());
    }
}
