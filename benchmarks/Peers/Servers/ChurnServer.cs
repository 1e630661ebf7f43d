using System.Buffers.Binary;

namespace Mortise.Peers.Servers;

/// <summary>
/// The other side of native/churn.c: the first 8 bytes of a connection say how it is to end and how long its body is.
/// </summary>
internal static class ChurnServer
{
    private static int s_live;

    /// <summary>Handlers that have begun and not ended.</summary>
    public static int Live => Volatile.Read(ref s_live);

    public static Task HandleAsync(Connection connection) => CountedAsync(connection, async c =>
    {
        var header = new byte[8];
        await c.ReceiveExactlyAsync(header);
        await EchoAsync(c, (char)header[0], BinaryPrimitives.ReadUInt32LittleEndian(header.AsSpan(4)));
    });

    /// <summary>Any handler, counted in <see cref="Live"/>.</summary>
    public static async Task CountedAsync(Connection connection, Func<Connection, Task> handler)
    {
        Interlocked.Increment(ref s_live);
        try
        {
            await handler(connection);
        }
        finally
        {
            Interlocked.Decrement(ref s_live);
        }
    }

    private static async Task EchoAsync(Connection connection, char way, long bodyBytes)
    {
        switch (way)
        {
            case 'C' or 'H' or 'R': // the client decides when it is over
                await connection.Input.CopyToAsync(connection.Output, connection.Closed);
                break;
            case 'S':
                await EchoExactlyAsync(connection, bodyBytes);
                break;
            case 'T':
                await EchoExactlyAsync(connection, bodyBytes);
                await connection.ShutdownSendAsync();
                await ReadToEndAsync(connection);
                break;
            case 'A':
                await EchoExactlyAsync(connection, bodyBytes / 2);
                connection.Abort();
                break;
            default:
                throw new InvalidDataException($"no way '{way}' to end a connection");
        }
    }

    private static async Task EchoExactlyAsync(Connection connection, long bytes)
    {
        while (bytes > 0)
        {
            var read = await connection.Input.ReadAsync();
            var taken = read.Buffer.Slice(0, Math.Min(bytes, read.Buffer.Length));
            await connection.SendAsync(taken);
            bytes -= taken.Length;
            connection.Input.AdvanceTo(taken.End);
            if (read.IsCompleted && bytes > 0)
                throw new EndOfStreamException($"{bytes} bytes of the body are missing");
        }
    }

    private static async Task ReadToEndAsync(Connection connection)
    {
        while (true)
        {
            var read = await connection.Input.ReadAsync();
            connection.Input.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return;
        }
    }
}
