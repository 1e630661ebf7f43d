using System.Diagnostics;
using Mortise.Telemetry;

namespace Mortise;

/// <summary>The names under which Mortise can be watched.</summary>
/// <example><code>
/// services.AddOpenTelemetry()
///     .WithMetrics(m => m.AddMeter(MortiseTelemetry.MeterName))
///     .WithTracing(t => t.AddSource(MortiseTelemetry.ActivitySourceName));
/// </code>or, without any exporter: <c>dotnet-counters monitor --counters Mortise -p PID</c></example>
public static class MortiseTelemetry
{
    /// <summary>The name of the <see cref="System.Diagnostics.Metrics.Meter"/>.</summary>
    public const string MeterName = "Mortise";

    /// <summary>The name of the <see cref="ActivitySource"/>: one activity for each connection.</summary>
    public const string ActivitySourceName = "Mortise";

    /// <summary>The metrics of all servers of this process in Prometheus' text format 0.0.4.</summary>
    public static string ToPrometheus() => MetricsText.Prometheus(Metrics.Samples(MortiseMeter.Totals()));

    /// <summary>The metrics of all servers of this process as one JSON object.</summary>
    public static string ToJson() => MetricsText.Json(Metrics.Samples(MortiseMeter.Totals()));

    internal static readonly string? Version = typeof(MortiseTelemetry).Assembly.GetName().Version?.ToString(3);

    private static readonly ActivitySource Source = new(ActivitySourceName, Version);

    /// <summary>Begins the activity of a connection; null, at no cost, where nobody listens.</summary>
    internal static Activity? StartConnection(ActivityKind kind, Endpoint local, Endpoint peer)
    {
        if (!Source.HasListeners())
            return null;
        return Source.StartActivity("mortise.connection", kind, default(ActivityContext),
            [new("network.local.address", local.ToString()), new("network.peer.address", peer.ToString())]);
    }

    /// <summary>Ends the activity of a connection with its close reason.</summary>
    internal static void End(Activity? activity, CloseReason reason)
    {
        if (activity is null)
            return;
        activity.SetTag("mortise.close_reason", reason.Name());
        if (reason is not (CloseReason.Eof or CloseReason.Local or CloseReason.Drain))
            activity.SetStatus(ActivityStatusCode.Error, reason.Name());
        activity.Dispose();
    }
}
