using System.Text;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>
/// The words that the tutorials' programs print, for those who read along: GameServer for the game, the 16555 server
/// for reply, the echo server for the rest. Ports are in host order, as they were meant to be.
/// </summary>
internal sealed class SeedLog(Kind kind, ServeSettings settings, CancellationTokenSource outputClosed)
    : ServeLog(settings, outputClosed)
{
    private const int ShownBytesMax = 2048;

    public override bool WantsConnections => true;

    public override bool WantsMessages => true;

    public override void Started(IReadOnlyList<Listener> listeners, IReadOnlyList<DatagramSocket> datagrams,
        Endpoint? metrics)
    {
        foreach (var listener in listeners)
            NoteListener(listener);
        foreach (var socket in datagrams)
            NoteSocket(socket);
        if (kind is GameKind)
        {
            Line("TCPServer 启动成功，等待连接。。。");
            Line("等待连接");
        }
        else if (kind is ReplyKind)
        {
            Line("Listening...");
        }

        foreach (var endpoint in (IEnumerable<Endpoint>)[.. listeners.Select(l => l.Endpoint),
            .. datagrams.Select(s => s.LocalEndpoint)])
            Note($"listening {endpoint}");
    }

    public override void Accepted(Connection connection)
    {
        var peer = connection.RemoteEndpoint;
        if (kind is GameKind)
            Line($"({TerminalText.Escape(peer.Authority)})");
        else if (kind is not ReplyKind)
            Line($"new client fd:{connection.Id} ip:{TerminalText.Escape(peer.Host)}, port:{peer.Port}");
    }

    public override void Received(Connection connection, ReadOnlySpan<byte> bytes) => Said(bytes);

    public override void Sent(Connection connection, ReadOnlySpan<byte> bytes)
    {
        // The tutorials' servers do not say what they answer.
    }

    public override void Datagram(Endpoint from, ReadOnlySpan<byte> bytes, bool answered) => Said(bytes);

    public override void SaidGoodbye(Connection connection) => Line("客户端不再发送消息");

    public override void Closed(Connection connection)
    {
        if (kind is GameKind)
            Line("等待连接");
        else if (kind is not ReplyKind)
            Line("client is disconnect..");
    }

    public override void Stopped(ServeTotals totals) => Line("Close Server");

    private void Said(ReadOnlySpan<byte> bytes)
    {
        // One mark for each line: remote text never begins one.
        var mark = kind is ReplyKind ? "Recv: " : kind is GameKind ? "recv: " : "client says: ";
        var text = new StringBuilder();
        foreach (var line in Lines(bytes))
            text.Append(text.Length == 0 ? "" : Environment.NewLine).Append(mark)
                .Append(TerminalText.Escape(bytes[line], ShownBytesMax, Settings.Encoding));
        Line(text.ToString());
    }

    private static List<Range> Lines(ReadOnlySpan<byte> bytes)
    {
        var lines = new List<Range>();
        var start = 0;
        while (bytes[start..].IndexOf((byte)'\n') is var length and >= 0)
        {
            lines.Add(start..(start + length));
            start += length + 1;
        }

        if (start < bytes.Length || lines.Count == 0)
            lines.Add(start..bytes.Length);
        return lines;
    }
}
