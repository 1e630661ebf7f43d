using System.Diagnostics.Metrics;
using System.Globalization;
using Mortise.Peers.Running;

namespace Mortise.Peers.Servers;

/// <summary>
/// Lines on a server's standard input, for what cannot be seen from outside: <c>collect</c> runs a full compacting
/// collection, <c>heap</c> prints its bytes after one, <c>stats</c> <c>name=value</c> of what is alive,
/// <c>allocated</c> the bytes so far.
/// Without <c>--control</c> none of it exists.
/// </summary>
internal static class ControlLine
{
    public static void Obey()
    {
        _ = Console.Error; // opened with the first warning otherwise, and then counted as left behind
        new Thread(Loop) { IsBackground = true, Name = "control" }.Start();
    }

    private static void Loop()
    {
        while (Console.In.ReadLine() is { } line)
        {
            if (line == "collect")
                Collect();
            Console.Out.WriteLine(line switch
            {
                "stats" => Stats(),
                "heap" => Heap(),
                "allocated" => $"{GC.GetTotalAllocatedBytes(precise: true)}",
                _ => line,
            });
            Console.Out.Flush();
        }
    }

    /// <summary>Twice: what finalizers let go of is gone too.</summary>
    public static void Collect()
    {
        for (var i = 0; i < 2; i++)
        {
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
            GC.WaitForPendingFinalizers();
        }
    }

    /// <summary>The least of five: after a collection each loop lets go of what it kept, in its own time.</summary>
    private static string Heap()
    {
        var least = long.MaxValue;
        for (var i = 0; i < 5; i++)
        {
            Collect();
            least = Math.Min(least, GC.GetTotalMemory(forceFullCollection: false));
            Thread.Sleep(20);
        }

        return $"{least}";
    }

    /// <summary><c>name=value</c> of everything that is alive in this process.</summary>
    public static string Stats()
    {
        var counts = new SortedDictionary<string, double>(StringComparer.Ordinal)
        {
            // without the libraries that the runtime opens as it comes to need them
            ["descriptors"] = ServerProcess.Links(Environment.ProcessId)
                .Count(link => !link.EndsWith(".dll", StringComparison.Ordinal)),
            ["handlers"] = ChurnServer.Live,
            ["tasks_waiting"] = ThreadPool.PendingWorkItemCount,
        };
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name.StartsWith("Mortise", StringComparison.OrdinalIgnoreCase))
                    self.EnableMeasurementEvents(instrument);
            },
        };
        void Add(string name, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
        {
            foreach (var (key, label) in tags)
                if (key is "reason")
                    name += $":{label}";
            counts[name] = counts.GetValueOrDefault(name) + value;
        }

        listener.SetMeasurementEventCallback<long>((i, value, tags, _) => Add(i.Name, value, tags));
        listener.SetMeasurementEventCallback<int>((i, value, tags, _) => Add(i.Name, value, tags));
        listener.SetMeasurementEventCallback<double>((i, value, tags, _) => Add(i.Name, value, tags));
        listener.Start();
        listener.RecordObservableInstruments();
        return string.Join(' ', counts.Select(c =>
            string.Create(CultureInfo.InvariantCulture, $"{c.Key}={c.Value:F0}")));
    }
}
