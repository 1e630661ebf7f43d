using System.Diagnostics.Metrics;
using System.Globalization;

namespace Mortise.Peers.Servers;

/// <summary>
/// Lines on a server's standard input, for what cannot be seen from outside: <c>collect</c> runs a full compacting
/// collection, <c>stats</c> prints <c>name=value</c> of what is alive, <c>allocated</c> the bytes so far.
/// Without <c>--control</c> none of it exists.
/// </summary>
internal static class ControlLine
{
    public static void Obey()
    {
        new Thread(Loop) { IsBackground = true, Name = "control" }.Start();
    }

    private static void Loop()
    {
        while (Console.In.ReadLine() is { } line)
        {
            if (line == "collect")
            {
                for (var i = 0; i < 2; i++)
                {
                    GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
                    GC.WaitForPendingFinalizers();
                }
            }

            Console.Out.WriteLine(line switch
            {
                "stats" => Stats(),
                "allocated" => $"{GC.GetTotalAllocatedBytes(precise: true)}",
                _ => line,
            });
            Console.Out.Flush();
        }
    }

    private static string Stats()
    {
        var counts = new SortedDictionary<string, double>(StringComparer.Ordinal)
        {
            ["descriptors"] = Directory.GetFileSystemEntries("/proc/self/fd").Length,
            ["handlers"] = ChurnServer.Live,
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
