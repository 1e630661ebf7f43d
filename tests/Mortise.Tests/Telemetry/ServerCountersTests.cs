using System.Diagnostics;
using System.Diagnostics.Metrics;
using Mortise.Telemetry;
using Xunit;

namespace Mortise.Tests.Telemetry;

/// <summary>What a server counts is what a listener of the meter reads.</summary>
public sealed class ServerCountersTests
{
    private static readonly string[] Contract =
    [
        "connections_current", "connections_limit", "accepted_total", "rejected_total", "closed_total",
        "bytes_received_total", "bytes_sent_total", "frames_received_total", "bytes_held", "send_queue_bytes",
        "slow_disconnects_total", "buffers_outstanding", "dropped_total", "accept_queue_length",
        "listen_overflows_total", "handler_faults_total", "rate_waits_total",
        "backplane_gap_total",
    ];

    [Fact]
    public void The_names_are_those_of_the_contract() =>
        Assert.Equal(Contract, Metrics.All.Select(metric => metric.Name));

    [Fact]
    public void Every_reason_has_a_value_of_its_label()
    {
        Assert.Equal(Enum.GetValues<RejectReason>().Length, Metrics.Rejected.Cells);
        Assert.Equal(Enum.GetValues<DropReason>().Length, Metrics.Dropped.Cells);
        Assert.Equal(Enum.GetValues<CloseReason>().Select(r => r.Name()), Metrics.Closed.LabelValues);
    }

    [Fact]
    public void Accepted_connections_are_either_open_or_closed()
    {
        using var counters = new ServerCounters();
        foreach (var reason in Enum.GetValues<CloseReason>())
        {
            counters.Accepted();
            counters.Accepted();
            counters.Closed(reason);
        }
        counters.Rejected(RejectReason.Denied);
        counters.Dropped(DropReason.Truncated, 3);
        var seen = counters.Snapshot();
        var reasons = Enum.GetValues<CloseReason>().Length;
        Assert.Equal(2 * reasons, seen[Metrics.Accepted]);
        Assert.Equal(reasons, seen[Metrics.ConnectionsCurrent]);
        Assert.Equal(reasons, seen.Sum(Metrics.Closed));
        Assert.All(Enum.GetValues<CloseReason>(), reason => Assert.Equal(1, seen[reason]));
        Assert.Equal((2, 1), (seen[Metrics.SlowDisconnects], seen[Metrics.HandlerFaults]));
        Assert.Equal((1, 3), (seen.Sum(Metrics.Rejected), seen.Sum(Metrics.Dropped)));
    }

    [Fact]
    public void Nothing_is_lost_when_many_threads_count_at_once()
    {
        using var counters = new ServerCounters();
        // By the clock, not by a number: a short loop on a busy machine never meets the other one.
        var clock = Stopwatch.StartNew();
        var expected = 0L;
        var threads = Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            var own = 0L;
            for (; clock.ElapsedMilliseconds < 100; own += 100)
                for (var i = 0; i < 100; i++)
                    counters.Add(Metrics.BytesReceived, 1);
            Interlocked.Add(ref expected, own);
        })).ToList();
        threads.ForEach(thread => thread.Start());
        Assert.All(threads, thread => Assert.True(thread.Join(TimeSpan.FromSeconds(30))));
        Assert.Equal(expected, counters.Snapshot()[Metrics.BytesReceived]);
        Assert.True(expected > 0);
    }

    [Fact]
    public void A_listener_reads_the_sum_of_all_servers_and_counters_never_fall()
    {
        var before = MortiseMeter.Totals();
        using var first = new ServerCounters();
        using var second = new ServerCounters();
        first.Accepted();
        second.Accepted();
        second.Closed(CloseReason.Idle);
        second.Set(Metrics.ConnectionsLimit, 5);
        second.Probe(Metrics.AcceptQueueLength, () => 7);
        var read = Listen();
        Assert.True(read["accepted_total"] - before[Metrics.Accepted] >= 2);
        Assert.True(read["closed_total:idle"] - before[CloseReason.Idle] >= 1);
        Assert.True(read["accept_queue_length"] >= 7);

        second.Dispose();
        second.Dispose();
        var after = Listen();
        Assert.True(after["accepted_total"] >= read["accepted_total"], "a counter fell");
        Assert.True(after["closed_total:idle"] >= read["closed_total:idle"], "a counter fell");
        Assert.All(Contract, name => Assert.Contains(after.Keys, key => key.Split(':')[0] == name));
    }

    [Fact]
    public void The_gauges_of_a_server_that_ended_are_gone()
    {
        const long NoOtherTestHasSoMany = 1L << 40;
        var counters = new ServerCounters();
        counters.Set(Metrics.ConnectionsLimit, NoOtherTestHasSoMany);
        Assert.True(MortiseMeter.Totals()[Metrics.ConnectionsLimit] >= NoOtherTestHasSoMany);
        counters.Dispose();
        Assert.True(MortiseMeter.Totals()[Metrics.ConnectionsLimit] < NoOtherTestHasSoMany);
    }

    private static Dictionary<string, long> Listen()
    {
        var read = new Dictionary<string, long>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == MortiseTelemetry.MeterName)
                {
                    Assert.False(string.IsNullOrEmpty(instrument.Unit), instrument.Name);
                    Assert.False(string.IsNullOrEmpty(instrument.Description), instrument.Name);
                    self.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) =>
            read[tags.Length == 0 ? instrument.Name : $"{instrument.Name}:{tags[0].Value}"] = value);
        listener.Start();
        listener.RecordObservableInstruments();
        return read;
    }
}
