using Mortise.Tests.Conformance;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>A handler that has heard enough.</summary>
public sealed class FinishTests
{
    [Fact]
    public async Task Nothing_is_handled_after_finish_and_the_answer_still_arrives()
    {
        var handled = new List<string>();
        await using var server = SocketServer.Start("tcp://127.0.0.1:0", Codec.Lines(), async (session, line) =>
        {
            handled.Add(line);
            await session.SendAsync("bye");
            session.Finish();
        });
        await using var client = await SocketClient.ConnectAsync(server.Endpoints[0]);
        await client.SendAsync("one\ntwo\nthree\n"u8.ToArray(), Limits.Soon);

        var answer = new byte[64];
        var length = 0;
        while (await client.ReceiveAsync(answer.AsMemory(length), Limits.Soon) is var received and > 0)
            length += received;

        Assert.Equal("bye\n"u8.ToArray(), answer[..length]);
        Assert.Equal(["one"], handled);
    }
}
