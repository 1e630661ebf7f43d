using System.Buffers;
using System.Text;
using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Packets;

/// <summary>A handler says that it sends no more: what it wrote before goes out, and then the end.</summary>
public sealed class FinishTests
{
    private const int Answers = 8, Rounds = 50;

    [Theory, InlineData("udp://127.0.0.1:0"), InlineData("unixgram:@"), InlineData("unixseq:@")]
    public async Task What_was_written_before_the_output_was_completed_is_not_lost(string at)
    {
        await using var server = SocketServer.Start(New(at), async c =>
        {
            await c.ReceiveAsync(new byte[16]);
            for (var i = 1; i < Answers; i++)
            {
                c.BeginMessage(); // a packet that is queued, and nobody waits for it
                c.Output.Write(Encoding.ASCII.GetBytes($"{i}"));
                c.EndMessage();
            }

            c.Output.Write("last"u8);
            c.Output.Complete();
        }, o => o.Transport.AllowAmplification = true);
        for (var round = 0; round < Rounds; round++)
        {
            await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
            await client.SendAsync("ask"u8.ToArray());
            for (var i = 1; i < Answers; i++)
                Assert.Equal($"{i}", await NextAsync(client));
            Assert.Equal("last", await NextAsync(client));
        }
    }

    [Theory, InlineData(true), InlineData(false)]
    public async Task Half_a_close_of_sequenced_packets_is_the_end_for_the_peer_alone(bool waits)
    {
        var heard = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start(New("unixseq:@"), async c =>
        {
            c.Output.Write("all"u8);
            if (waits)
                await c.Output.CompleteAsync();
            else
                c.Output.Complete();
            heard.SetResult(await NextAsync(c));
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        Assert.Equal("all", await NextAsync(client));
        Assert.Equal("", await NextAsync(client));
        await client.SendAsync("and you?"u8.ToArray());
        Assert.Equal("and you?", await heard.Task.WaitAsync(Limits.Soon));
    }

    [Fact]
    public async Task A_last_packet_that_is_too_long_says_so_and_stops_only_itself()
    {
        var told = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var server = SocketServer.Start(New("udp://127.0.0.1:0"), async c =>
        {
            await c.ReceiveAsync(new byte[16]);
            c.BeginMessage();
            c.Output.Write("first"u8);
            c.EndMessage();
            c.Output.Write(new byte[DatagramSocket.UdpBytesMax + 1]);
            told.SetResult(Assert.Throws<ConnectionException>(() => c.Output.Complete()).Symbol);
        }, o => o.Transport.AllowAmplification = true);
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await client.SendAsync("ask"u8.ToArray());
        Assert.Equal("first", await NextAsync(client));
        Assert.Equal("EMSGSIZE", await told.Task.WaitAsync(Limits.Soon));
    }

    [Fact]
    public async Task An_output_that_is_completed_with_a_failure_aborts()
    {
        await using var server = SocketServer.Start(New("unixseq:@"), async c =>
        {
            c.Output.Write("half of"u8);
            c.Output.Complete(new InvalidDataException("no more"));
            await Assert.ThrowsAsync<ConnectionException>(() => NextAsync(c));
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        Assert.Equal("", await NextAsync(client));
        await Limits.UntilAsync(() => server.Statistics.Closed(CloseReason.Abort) == 1, "not aborted");
    }

    private static Endpoint New(string at) =>
        Endpoint.Parse(at.EndsWith('@') ? $"{at}mortise-{Guid.NewGuid():N}" : at);

    private static async Task<string> NextAsync(Connection connection)
    {
        var room = new byte[64];
        return Encoding.ASCII.GetString(room, 0, await connection.ReceiveAsync(room, Limits.Soon));
    }
}
