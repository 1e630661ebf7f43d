namespace Mortise.Peers.Servers;

/// <summary>What <c>server KIND PORT [CONNECTIONS] [--reuse-port] [--control]</c> runs, until it is killed.</summary>
internal static class Hosts
{
    public static async Task<int> RunAsync(string kind, string[] args)
    {
        if (args is not [var portText, .. var rest] || !int.TryParse(portText, out var port))
        {
            Console.Error.WriteLine("server KIND PORT [CONNECTIONS] [--reuse-port] [--control]");
            return 2;
        }

        var connectionsMax = rest.Select(a => int.TryParse(a, out var n) ? n : 0).Append(0).Max();
        void Configure(ServerOptions options)
        {
            options.Transport.Backlog = 4096; // what the C servers ask for: a ramp of thousands must not be dropped
            options.Transport.ReusePort = rest.Contains("--reuse-port");
            if (connectionsMax > 0)
                options.MaxConnections = connectionsMax;
        }

        if (rest.Contains("--control"))
            ControlLine.Obey();
        await (kind switch
        {
            "socket" => PlainSocket.RunAsync(port),
            "saea" => EventArgsServer.RunAsync(port),
            "kestrel" => KestrelServer.RunAsync(port),
            _ => MortiseServers.RunAsync(kind, port, Configure),
        });
        return 0;
    }
}
