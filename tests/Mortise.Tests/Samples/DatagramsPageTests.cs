using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Samples;

/// <summary>docs/datagrams.md: its programs compile, and do what the page says they do.</summary>
public sealed class DatagramsPageTests
{
    private static readonly Page Datagrams = new("docs", "datagrams.md");

    [Fact]
    public async Task Its_client_talks_to_its_server_and_its_proof_is_one()
    {
        var program = await Datagrams.WriteProgramAsync("datagrams", "udp://127.0.0.1:9003");
        var at = Endpoint.Parse($"udp://{Loopback.Own()}:9003");
        await using (await Sample.StartFileAsync(program, Datagrams.Number("ToUpperInvariant"), at.ToString()))
        {
            await AnswerAsync(at, "hi");
            await using var client = await Sample.StartFileAsync(program, Datagrams.Number("ReceiveAsync());"),
                at.ToString());
            Assert.Equal(0, await client.ExitAsync());
            Assert.Equal("HELLO", client.Output);
        }

        at = Endpoint.Parse($"udp://{Loopback.Own()}:9003");
        await using var proving = await Sample.StartFileAsync(program, Datagrams.Number("ConfirmPeer"), at.ToString());
        Assert.Equal(16, (await AnswerAsync(at, "hello" + new string('.', 11))).Length);
    }

    /// <summary>Asks again until the server is up: of a datagram that came too early nobody knows.</summary>
    private static async Task<string> AnswerAsync(Endpoint at, string question)
    {
        while (true)
        {
            await using var session = await SocketClient.ConnectAsync(at, Codec.Lines());
            try
            {
                await session.SendAsync(question);
                return await session.ReceiveAsync(Limits.Soon);
            }
            catch (ConnectionException e) when (e.Symbol == "ECONNREFUSED")
            {
                await Task.Delay(50, Limits.Soon); // not up yet
            }
        }
    }
}
