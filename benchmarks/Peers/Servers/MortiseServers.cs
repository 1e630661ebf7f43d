using System.Buffers;

namespace Mortise.Peers.Servers;

/// <summary>Ours, as its users would write it. MORTISE_ENGINE says which engine carries it.</summary>
internal static class MortiseServers
{
    /// <param name="kind"><c>mortise-ENGINE</c>, and perhaps <c>-loop</c>, <c>-lines</c>, <c>-text</c>, <c>-bare</c>,
    /// <c>-churn</c>, <c>-counted</c>,
    /// <c>-broadcast</c>.</param>
    /// <param name="port">On 127.0.0.1.</param>
    /// <param name="configure">Limits that the bench sets.</param>
    public static Task RunAsync(string kind, int port, Action<ServerOptions> configure)
    {
        Endpoint endpoint = $"tcp://127.0.0.1:{port}";
        return kind[(kind.LastIndexOf('-') + 1)..] switch
        {
            "loop" => SocketServer.RunAsync(endpoint, LoopAsync, configure),
            "lines" => SocketServer.RunAsync(endpoint, Codec.Frames(Framing.Parse("line")),
                (s, line) => s.SendAsync(line), configure),
            "text" => SocketServer.RunAsync(endpoint, Codec.Lines(), (s, line) => s.SendAsync(line), configure),
            "broadcast" => SocketServer.RunAsync(endpoint, SpeakToAllAsync, Crowded(configure)),
            "bare" => AcceptByHandAsync(endpoint),
            "counted" => SocketServer.RunAsync(endpoint, c => ChurnServer.CountedAsync(c, EchoAllAsync), configure),
            "churn" => SocketServer.RunAsync(endpoint, ChurnServer.HandleAsync, configure),
            _ => SocketServer.RunAsync(endpoint, c => c.Input.CopyToAsync(c.Output, c.Closed), configure),
        };
    }

    private static readonly FrameCodec s_lines = Codec.Frames(Framing.Parse("line"));

    private static Action<ServerOptions> Crowded(Action<ServerOptions> configure) => options =>
    {
        configure(options);
        options.MaxConnections = 20_000;
        options.IdleTimeout = Timeout.InfiniteTimeSpan; // members say nothing
    };

    /// <summary>Whoever connects is a member, and what one says all others hear.</summary>
    private static Task SpeakToAllAsync(Connection connection)
    {
        var session = connection.AsSession(s_lines);
        session.Groups["all"].Add(session);
        return session.HandleAsync((s, line) =>
        {
            s.Groups["all"].Broadcast(line, except: s);
            return ValueTask.CompletedTask;
        });
    }

    private static Task EchoAllAsync(Connection connection) =>
        connection.Input.CopyToAsync(connection.Output, connection.Closed);

    /// <summary>What CopyToAsync does, written out: nobody can call it a special case.</summary>
    private static async Task LoopAsync(Connection connection)
    {
        while (true)
        {
            var read = await connection.Input.ReadAsync();
            foreach (var segment in read.Buffer)
                await connection.Output.WriteAsync(segment);
            connection.Input.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return;
        }
    }

    /// <summary>A connection and nothing else: no limits, no timers, no telemetry of a server.</summary>
    private static async Task AcceptByHandAsync(Endpoint endpoint)
    {
        using var listener = SocketServer.Listen(endpoint, new TransportOptions { Backlog = 4096 });
        while (true)
            _ = EchoAsync(await listener.AcceptAsync());
    }

    private static async Task EchoAsync(Connection connection)
    {
        try
        {
            while (true)
            {
                var read = await connection.Input.ReadAsync();
                await connection.SendAsync(read.Buffer);
                connection.Input.AdvanceTo(read.Buffer.End);
                if (read.IsCompleted)
                    break;
            }
        }
        catch (ConnectionException)
        {
            // the load ends its connections with a reset
        }

        await connection.DisposeAsync();
    }
}
