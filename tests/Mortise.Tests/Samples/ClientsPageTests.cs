using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>
/// docs/clients.md and its sample: the client logs in each time, and what was typed meanwhile arrives.
/// </summary>
public sealed class ClientsPageTests
{
    private static readonly Page Clients = new("docs", "clients.md");

    [Fact]
    public async Task The_program_of_the_page_waits_for_its_server_logs_in_and_asks()
    {
        var program = await Clients.WriteProgramAsync("clients");
        var at = Loopback.FreeEndpoint();
        await using var asking = await Sample.StartFileAsync(program, Clients.Number("Create("), at.ToString());
        await asking.ErrorAsync("^Waiting .*ECONNREFUSED");
        var lines = new List<string>();
        await using var server = SocketServer.Start(at, Codec.Lines(), async (session, line) =>
        {
            lines.Add(line);
            if (line == "who")
                await session.SendAsync("nobody but you");
        });
        await asking.OutputAsync("^nobody but you$");
        Assert.Equal(["login dev", "who"], lines);
    }

    [Fact]
    public async Task The_sample_comes_back_with_what_was_typed_while_the_server_was_away()
    {
        var at = Loopback.FreeEndpoint();
        await using var client = await Sample.StartAsync("client-that-returns", at.ToString());
        await client.ErrorAsync("again in");
        await client.Input.WriteLineAsync("typed before");
        for (var life = 1; life <= 2; life++)
        {
            await using (SocketServer.Start(at, Codec.Lines(), (s, line) => s.SendAsync($"{life} {line}")))
            {
                await client.OutputAsync($"^{life} hello, it is me$");
                await client.OutputAsync($"^{life} typed ");
            }

            await client.ErrorAsync("again in", Limits.Time);
            await client.Input.WriteLineAsync("typed meanwhile");
        }
    }
}
