using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Logging;

namespace Mortise.Peers.Servers;

/// <summary>Kestrel's stock sockets transport under a ConnectionHandler: no HTTP is involved.</summary>
internal static class KestrelServer
{
    public static async Task RunAsync(int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseSockets(sockets => sockets.Backlog = 4096);
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, port,
            listen => listen.UseConnectionHandler<Echo>()));
        await using var app = builder.Build();
        await app.RunAsync();
    }

    private sealed class Echo : ConnectionHandler
    {
        public override async Task OnConnectedAsync(ConnectionContext connection)
        {
            try
            {
                await connection.Transport.Input.CopyToAsync(connection.Transport.Output, connection.ConnectionClosed);
            }
            catch (Exception e) when (e is ConnectionResetException or OperationCanceledException)
            {
                // the load ends its connections with a reset
            }
        }
    }
}
