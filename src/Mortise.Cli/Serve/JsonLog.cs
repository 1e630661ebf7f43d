using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Mortise.Cli.Serve;

/// <summary>The log for programs: NDJSON events on stdout.</summary>
internal sealed class JsonLog(ServeSettings settings, CancellationTokenSource outputClosed)
    : ServeLog(settings, outputClosed)
{
    private long _frameErrors;

    public override bool WantsConnections => true;

    public override void Started(IReadOnlyList<Listener> listeners, IReadOnlyList<DatagramSocket> datagrams,
        Endpoint? metrics)
    {
        foreach (var (i, listener) in listeners.Index())
        {
            Event("listening", json =>
            {
                json.WriteString("endpoint", listener.Endpoint.ToString());
                json.WriteNumber("backlog", listener.Backlog);
                json.WriteString("frame", FramingOf(i)?.ToString() ?? "raw");
                json.WriteString("engine", listener.Engine);
                if (metrics is not null)
                    json.WriteString("metrics", metrics.ToString());
            });
            NoteListener(listener);
        }

        foreach (var socket in datagrams)
        {
            Event("listening", json =>
            {
                json.WriteString("endpoint", socket.LocalEndpoint.ToString());
                json.WriteNumber("rcvbuf", socket.GetSocketBuffers().Receive);
                if (metrics is not null)
                    json.WriteString("metrics", metrics.ToString());
            });
            NoteSocket(socket);
        }
    }

    public override void Accepted(Connection connection) => Event("accepted", json =>
    {
        json.WriteNumber("id", connection.Id);
        json.WriteString("local", connection.LocalEndpoint.Authority);
        json.WriteString("remote", connection.RemoteEndpoint.Authority);
        if (connection.Proxy?.Via is { } via)
            json.WriteString("via", via.Authority);
        if (connection.Tls is { } tls)
            json.WriteString("tls", tls.ToString());
        if (!Settings.Verbose || Buffers(connection) is not { } buffers)
            return;
        json.WriteNumber("sndbuf", buffers.Send);
        json.WriteNumber("rcvbuf", buffers.Receive);
    });

    public override void Received(Connection connection, ReadOnlySpan<byte> bytes) => Moved("recv", connection, bytes);

    public override void Sent(Connection connection, ReadOnlySpan<byte> bytes) => Moved("sent", connection, bytes);

    public override void Datagram(Endpoint from, ReadOnlySpan<byte> bytes, bool answered)
    {
        var (name, value, length) = (Name(bytes), Value(bytes), bytes.Length);
        foreach (var ev in answered ? ["recv", "sent"] : (string[])["recv"])
            Event(ev, json =>
            {
                json.WriteString("remote", from.Authority);
                json.WriteNumber("bytes", length);
                json.WriteString(name, value);
            });
    }

    public override void Closed(Connection connection) => Event("closed", json =>
    {
        json.WriteNumber("id", connection.Id);
        json.WriteString("remote", connection.RemoteEndpoint.Authority);
        json.WriteString("reason", (connection.CloseReason ?? CloseReason.Local).Name());
        json.WriteNumber("rx", connection.BytesReceived);
        json.WriteNumber("tx", connection.BytesSent);
        json.WriteNumber("ms", Math.Round((DateTimeOffset.UtcNow - connection.StartedAt).TotalMilliseconds, 1));
    });

    public override void Stopping(int connections, TimeSpan drain)
    {
        // The drained event says all of it.
    }

    public override void Stopped(ServeTotals totals) => Event("drained", json =>
    {
        var drained = totals.Drained;
        json.WriteNumber("served", (totals.Accepted ?? 0) + (totals.Datagrams?.Answered ?? 0));
        json.WriteNumber("finished", drained.Finished);
        json.WriteNumber("aborted", drained.Aborted);
        json.WriteNumber("active", drained.Aborted);
        json.WriteNumber("frame_errors", Interlocked.Read(ref _frameErrors));
        json.WriteNumber("ms", Math.Round(drained.Elapsed.TotalMilliseconds, 1));
        if (totals.Datagrams is not { } datagrams)
            return;
        json.WriteNumber("datagrams", datagrams.Answered);
        json.WriteNumber("drops", datagrams.Drops);
        json.WriteNumber("chaos_lost", datagrams.ChaosLost);
    });

    protected override void BadFrame(string connection, string peer, string reason, string detail)
    {
        Interlocked.Increment(ref _frameErrors);
        Event("frame_error", json =>
        {
            json.WriteNumber("id", long.Parse(connection, System.Globalization.CultureInfo.InvariantCulture));
            json.WriteString("remote", peer);
            json.WriteString("reason", reason);
            json.WriteString("detail", detail);
        });
        base.BadFrame(connection, peer, reason, detail);
    }

    private void Moved(string ev, Connection connection, ReadOnlySpan<byte> bytes)
    {
        var (name, value, length) = (Name(bytes), Value(bytes), bytes.Length);
        Event(ev, json =>
        {
            json.WriteNumber("id", connection.Id);
            json.WriteNumber("bytes", length);
            if (Settings.Framing is null)
            {
                json.WriteString(name, value);
                return;
            }

            json.WriteStartObject("frame");
            json.WriteNumber("len", length);
            json.WriteString(name, value);
            json.WriteEndObject();
        });
    }

    private string Name(ReadOnlySpan<byte> bytes) => IsText(bytes) ? "text" : "hex";

    private string Value(ReadOnlySpan<byte> bytes) =>
        IsText(bytes) ? Settings.Encoding.GetString(bytes) : Convert.ToHexStringLower(bytes);

    private bool IsText(ReadOnlySpan<byte> bytes) => Settings.Encoding is not UTF8Encoding || Utf8.IsValid(bytes);

    private void Event(string ev, Action<Utf8JsonWriter> fill) => Line(JsonLine.Text(ev, fill));
}
