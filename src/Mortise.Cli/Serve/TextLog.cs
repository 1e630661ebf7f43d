using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>The log for people.</summary>
internal sealed class TextLog(Kind kind, ServeSettings settings, bool chinese, CancellationTokenSource outputClosed)
    : ServeLog(settings, outputClosed)
{
    private const int ShownBytesMax = 256;

    public override void Started(IReadOnlyList<Listener> listeners, IReadOnlyList<DatagramSocket> datagrams,
        Endpoint? metrics)
    {
        foreach (var (i, listener) in listeners.Index())
        {
            if (!Settings.Quiet)
                Line($"listening {listener.Endpoint} (backlog {listener.Backlog}, frame {FramingOf(i)?.ToString()
                    ?? "raw"})");
            NoteListener(listener);
        }

        foreach (var socket in datagrams)
        {
            if (!Settings.Quiet)
                Line($"listening {socket.LocalEndpoint} (datagrams, rcvbuf {socket.GetSocketBuffers().Receive} B)");
            NoteSocket(socket);
        }

        if (Settings.Quiet)
            return;
        if (Settings.CertificateNote is { } certificate)
            Note(certificate);
        if (metrics is not null)
            Note($"metrics: http://{metrics.Authority}/metrics and /metrics.json");
        foreach (var (endpoint, framing) in (IEnumerable<(Endpoint, Framing?)>)
            [.. listeners.Index().Select(l => (l.Item.Endpoint, FramingOf(l.Index))),
            .. datagrams.Select(s => (s.LocalEndpoint, Settings.Framing))])
            Note($"{(chinese ? "试试" : "try")}: {kind.TryWith(endpoint, framing)}");
        Note(chinese ? "按 Ctrl+C 停止" : "Ctrl+C to stop");
    }

    public override void Accepted(Connection connection) =>
        Line($"#{connection.Id} {Peer(connection.RemoteEndpoint)} connected"
            + (connection.Proxy?.Via is { } via ? $" via {Peer(via)}" : "")
            + (connection.Tls is { } tls ? $" ({TerminalText.Escape(tls.ToString())})" : "")
            + BuffersInForce(connection));

    public override void Received(Connection connection, ReadOnlySpan<byte> bytes) =>
        Line($"#{connection.Id} recv {bytes.Length} B \"{Shown(bytes)}\"");

    public override void Sent(Connection connection, ReadOnlySpan<byte> bytes) =>
        Line($"#{connection.Id} sent {bytes.Length} B \"{Shown(bytes)}\"");

    public override void Datagram(Endpoint from, ReadOnlySpan<byte> bytes, bool answered) =>
        Line($"{Peer(from)} recv {bytes.Length} B \"{Shown(bytes)}\""
            + (answered ? $"  → sent {bytes.Length} B" : "  (no name to answer to)"));

    public override void Closed(Connection connection)
    {
        var elapsed = DateTimeOffset.UtcNow - connection.StartedAt;
        Line($"#{connection.Id} closed ({(connection.CloseReason ?? CloseReason.Local).Name()}) after "
            + $"{Time(elapsed)}, received {connection.BytesReceived} B, sent {connection.BytesSent} B");
    }

    public override void Stopping(int connections, TimeSpan drain)
    {
        if (!chinese)
            base.Stopping(connections, drain);
        else if (connections > 0 && !Settings.Quiet)
            Note($"正在停止：{connections} 个连接可在 {drain.TotalSeconds:0.###} s 内完成；再按 Ctrl+C 立即中止");
    }

    protected override void BadFrame(string connection, string peer, string reason, string detail)
    {
        if (!chinese || !ErrorCatalogue.TryFind(reason, out var entry))
            base.BadFrame(connection, peer, reason, detail);
        else
            Warn($"#{connection} {peer} 帧错误：{entry.Chinese.Meaning}：{detail} ({reason})；连接已关闭");
    }

    public override void Stopped(ServeTotals totals)
    {
        if (Settings.Quiet)
            return;
        var (accepted, drained, datagrams) = totals;
        var parts = new List<string>();
        if (accepted is { } served)
            parts.Add($"{Many(served, "connection")} served, {drained.Aborted} active"
                + (drained.Aborted > 0 ? $", {drained.Aborted} aborted after " : ", drained in ")
                + $"{drained.Elapsed.TotalMilliseconds:0} ms");
        if (datagrams is not null)
            parts.Add($"{Many(datagrams.Answered, "datagram")} answered, drops {datagrams.Drops}"
                + (datagrams.ChaosLost > 0 ? $", {datagrams.ChaosLost} lost by --chaos" : ""));
        Line($"Close Server — {string.Join("; ", parts)}");
    }

    private static string Many(long number, string what) => $"{number} {what}{(number == 1 ? "" : "s")}";

    private static string Peer(Endpoint peer) =>
        peer.Authority.Length == 0 ? "(unnamed)" : TerminalText.Escape(peer.Authority);

    private static string Time(TimeSpan time) => time.TotalSeconds < 1
        ? $"{time.TotalMilliseconds:0.0} ms"
        : $"{time.TotalSeconds:0.0} s";

    private string Shown(ReadOnlySpan<byte> bytes) => TerminalText.Escape(bytes, ShownBytesMax, Settings.Encoding);
}
