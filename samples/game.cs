#:project ../src/Mortise/Mortise.csproj
// The game server of the tutorials, for as many players as come: every word is answered, `end` ends one player's talk.
using Mortise;

await SocketServer.RunAsync(args is [var at] ? at : ":9003", Codec.Lines(), async (player, word) =>
{
    Console.WriteLine($"({player.RemoteEndpoint.Authority}) {word}");
    if (word != "end")
    {
        await player.SendAsync("Server to client!");
        return;
    }

    await player.SendAsync("end");
    player.Finish(); // the reply still goes out, then this player's connection is closed in order
});
