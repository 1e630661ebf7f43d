using System.Net.Sockets;
using Mortise.Tests.Conformance;
using Mortise.Tests.Transports.Linux;
using Xunit;

namespace Mortise.Tests.Cli;

/// <summary>
/// A killed process leaves nothing behind: no listener that a pending request of the kernel keeps open, and that would
/// swallow the next clients.
/// </summary>
[Collection("alone")]
public sealed class KilledServerTests
{
    private const int Kills = 20;

    [Theory, MemberData(nameof(Engines.WithLoops), MemberType = typeof(Engines))]
    public async Task A_server_killed_20_times_comes_back_on_its_port_and_serves_its_first_client(EngineKind engine)
    {
        var endpoint = Loopback.FreeEndpoint();
        var name = engine == EngineKind.IoUring ? "io_uring" : "epoll";
        for (var i = 0; i < Kills; i++)
        {
            await using var server = MortiseProcess.Start("serve", "echo", endpoint.ToString(), "--engine", name);
            await server.OutputAsync("^listening ");
            using var client = await ServeClient.ConnectAsync(endpoint);
            await client.SendAsync("ping");
            Assert.Equal("ping", await client.ReadAsync(4));
            await client.SendAsync(Limits.Bytes(200_000)); // on its way in both directions when the end comes
            server.Process.Kill();
            await server.ExitAsync();
            var ghost = await Assert.ThrowsAsync<SocketException>(() => ServeClient.ConnectAsync(endpoint));
            Assert.Equal(SocketError.ConnectionRefused, ghost.SocketErrorCode);
        }

        Row.Observed("E05", $"{name}: {Kills} × kill -9 and restart at once on {endpoint}: each bound, each served its "
            + "first client, and nobody answered in between");
    }
}
