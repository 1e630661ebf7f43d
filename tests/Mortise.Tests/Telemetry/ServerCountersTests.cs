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
        "listen_overflows_total", "handler_faults_total", "backplane_gap_total",
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
        counters.Dropped(DropReason.Newest, 3);
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
    public async Task No_byte_is_lost_when_many_threads_count()
    {
        using var counters = new ServerCounters();
        await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
        {
            var traffic = counters.NextTraffic();
            for (var i = 0; i < 10_000; i++)
            {
                traffic.Received(3);
                traffic.Sent(2);
                traffic.ReceivedFrames();
            }
        })));
        var seen = counters.Snapshot();
        Assert.Equal((240_000, 160_000, 80_000),
            (seen[Metrics.BytesReceived], seen[Metrics.BytesSent], seen[Metrics.FramesReceived]));
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
        var counters = new ServerCounters();
        counters.Accepted();
        counters.Set(Metrics.ConnectionsLimit, 1000);
        var kept = counters.Snapshot().CountersOnly();
        counters.Dispose();
        Assert.Equal((1, 0, 0),
            (kept[Metrics.Accepted], kept[Metrics.ConnectionsCurrent], kept[Metrics.ConnectionsLimit]));
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
