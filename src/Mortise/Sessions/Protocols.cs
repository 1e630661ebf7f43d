using System.Buffers;
using System.Text;

namespace Mortise;

/// <summary>What the first bytes of a connection say.</summary>
public enum Protocol
{
    /// <summary>None of those below: your own, for example.</summary>
    Other,

    /// <summary>Nothing came in time: the peer waits for a greeting, or is no friend.</summary>
    Silent,

    /// <summary>A TLS record with a ClientHello (16 03, RFC 8446).</summary>
    Tls,

    /// <summary>A request line of HTTP/1, or the preface of HTTP/2 (RFC 9110, 9113).</summary>
    Http,

    /// <summary>
    /// A PROXY header. Where <see cref="ServerOptions.ProxyProtocol"/> is on, it was read before; here nobody vouches
    /// for it, so close the connection.
    /// </summary>
    Proxy,
}

/// <summary>Several protocols on one port: looks at the first bytes, and leaves them where they are.</summary>
public static class Protocols
{
    private static readonly byte[] ProxyBinary = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51];

    private static readonly (byte[] Start, Protocol Protocol)[] Known =
    [
        .. ((string[])["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "CONNECT ", "OPTIONS ", "TRACE ", "PATCH ",
            "PRI * "]).Select(method => (Encoding.ASCII.GetBytes(method), Protocol.Http)),
        (Encoding.ASCII.GetBytes("PROXY "), Protocol.Proxy),
        (ProxyBinary, Protocol.Proxy),
    ];

    /// <summary>
    /// Waits until the first bytes tell, and consumes none of them: whoever reads next finds them. As few bytes as that
    /// takes are waited for, so text that no protocol begins with is known by its first byte.
    /// </summary>
    /// <param name="connection">Nothing has been read from it.</param>
    /// <param name="timeout">Where it is over, what came so far is <see cref="Protocol.Other"/>. Default 10 s.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="ConnectionException">The connection was reset or aborted.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    /// <example><code>
    /// await SocketServer.RunAsync(":7007", async c => await (await c.DetectAsync() switch
    /// {
    ///     Protocol.Http => AnswerAsync(c),
    ///     Protocol.Other => c.HandleAsync(Codec.Lines(), (s, line) => s.SendAsync(line)),
    ///     _ => Task.CompletedTask,   // closes
    /// }));
    /// </code></example>
    public static async ValueTask<Protocol> DetectAsync(this Connection connection, TimeSpan? timeout = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(connection);
        using var late = new CancellationTokenSource(timeout ?? TimeSpan.FromSeconds(10), connection.Time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        Protocol protocol;
        try
        {
            while (true)
            {
                var read = await connection.Input.ReadAsync(both.Token).ConfigureAwait(true);
                var isKnown = TryTell(read.Buffer, out protocol) || read.IsCompleted || connection.KeepsBoundaries;
                connection.Input.AdvanceTo(read.Buffer.Start, isKnown ? read.Buffer.Start : read.Buffer.End);
                if (isKnown)
                    return protocol;
            }
        }
        catch (OperationCanceledException)
        {
            // Looked at to their end, they would be kept from the next reader until more came: a cancelled read, which
            // waits for nothing, hands them out again.
            connection.Input.CancelPendingRead();
            var read = await connection.Input.ReadAsync(CancellationToken.None).ConfigureAwait(true);
            TryTell(read.Buffer, out protocol);
            connection.Input.AdvanceTo(read.Buffer.Start, read.Buffer.Start);
            cancellationToken.ThrowIfCancellationRequested();
            return protocol;
        }
    }

    /// <summary>False where more bytes could change it.</summary>
    private static bool TryTell(in ReadOnlySequence<byte> buffer, out Protocol protocol)
    {
        Span<byte> room = stackalloc byte[8];
        var seen = (int)Math.Min(buffer.Length, room.Length);
        buffer.Slice(0, seen).CopyTo(room);
        var first = room[..seen];
        protocol = first.IsEmpty ? Protocol.Silent : Protocol.Other;
        // The sixth byte is the message's own type: 16 03 alone may begin something else.
        if (first is [0x16, 0x03, _, _, _, 0x01, ..])
        {
            protocol = Protocol.Tls;
            return true;
        }

        foreach (var (start, known) in Known)
        {
            if (first.StartsWith(start))
            {
                protocol = known;
                return true;
            }
        }

        foreach (var (start, _) in Known)
            if (start.AsSpan().StartsWith(first))
                return false;
        return first is not ([] or [0x16] or [0x16, 0x03] or [0x16, 0x03, _] or [0x16, 0x03, _, _]
            or [0x16, 0x03, _, _, _]);
    }
}
