using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Mortise.Telemetry;

/// <summary>Writes samples as Prometheus text (format 0.0.4) and as JSON. It serves nothing: no HTTP here.</summary>
internal static class MetricsText
{
    /// <summary>The Content-Type of <see cref="Prometheus"/>.</summary>
    public const string PrometheusContentType = "text/plain; version=0.0.4; charset=utf-8";

    private const string Prefix = "mortise_";

    /// <summary>Prometheus text; samples of one metric must follow each other.</summary>
    public static string Prometheus(IEnumerable<MetricSample> samples)
    {
        var text = new StringBuilder();
        string? open = null;
        foreach (var sample in samples)
        {
            if (sample.Name != open)
            {
                var type = sample.Kind == MetricKind.Counter ? "counter" : "gauge";
                text.Append("# HELP ").Append(Prefix).Append(sample.Name).Append(' ').Append(Escape(sample.Help, false))
                    .Append('\n')
                    .Append("# TYPE ").Append(Prefix).Append(sample.Name).Append(' ').Append(type).Append('\n');
                open = sample.Name;
            }
            text.Append(Prefix).Append(sample.Name);
            if (sample.Label is not null)
                text.Append('{').Append(sample.Label).Append("=\"").Append(Escape(sample.LabelValue ?? "", true))
                    .Append("\"}");
            text.Append(' ').Append(sample.Value.ToString(CultureInfo.InvariantCulture)).Append('\n');
        }
        return text.ToString();
    }

    /// <summary>
    /// One JSON object: a number for each metric, an object of numbers for each metric with a label; samples of one
    /// metric must follow each other.
    /// </summary>
    public static string Json(IEnumerable<MetricSample> samples)
    {
        using var stream = new MemoryStream();
        using (var json = new Utf8JsonWriter(stream))
        {
            string? open = null;
            json.WriteStartObject();
            foreach (var sample in samples)
            {
                if (open is not null && sample.Name != open)
                {
                    json.WriteEndObject();
                    open = null;
                }
                if (sample.Label is null)
                {
                    json.WriteNumber(sample.Name, sample.Value);
                    continue;
                }
                if (open is null)
                    json.WriteStartObject(open = sample.Name);
                json.WriteNumber(sample.LabelValue ?? "", sample.Value);
            }
            if (open is not null)
                json.WriteEndObject();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(stream.GetBuffer(), 0, (int)stream.Length);
    }

    private static string Escape(string text, bool quotes)
    {
        text = text.Replace("\\", "\\\\").Replace("\n", "\\n");
        return quotes ? text.Replace("\"", "\\\"") : text;
    }
}
