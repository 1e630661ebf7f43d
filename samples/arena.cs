#:project ../src/Mortise/Mortise.csproj
// A world that everybody is shown 20 times a second: `left` and `right` move you along a line of 40 cells, and /resume
// TOKEN brings you back within 30 s after your connection broke. For anybody with nc.
using System.Collections.Concurrent;
using Mortise;

var players = new ConcurrentDictionary<string, Player>(); // by their tokens
var codec = Codec.Lines(lineBytesMax: 256);
// A state that is seconds old is worth nothing: who reads too slowly is shown the newest.
await using var server = SocketServer.Start(args is [var at] ? at : ":9004", ServeAsync, o =>
    (o.SlowReaders, o.QueueBytesMax) = (SlowReaders.DropOldest, 16 * 1024));
Console.WriteLine($"listening {server.Endpoints[0]}");

using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50)); // ticks that come late become one
for (var tick = 1; await timer.WaitForNextTickAsync(); tick++)
{
    foreach (var (token, player) in players)
    {
        player.X = Math.Clamp(player.X + Interlocked.Exchange(ref player.Wish, 0), 0, 39);
        if (player.AwaySince is { } since && DateTime.UtcNow - since > TimeSpan.FromSeconds(30))
            players.TryRemove(token, out _);
    }

    server.Groups<string>()["arena"].Broadcast($"{tick} {string.Join(' ', players.Values.Select(p => p.X))}");
}

async Task ServeAsync(Connection connection)
{
    var me = connection.AsSession(codec);
    var token = Guid.NewGuid().ToString("N"); // nobody guesses it
    var player = players[token] = new Player();
    await me.SendAsync($"token {token}");
    me.Groups["arena"].Add(me);
    try
    {
        await me.HandleAsync((session, line) =>
        {
            if (line is "left" or "right")
                player.Wish = line == "left" ? -1 : 1;
            else if (line.Split(' ') is ["/resume", var old] && players.TryGetValue(old, out var before))
            {
                players.TryRemove(token, out _);
                (token, player) = (old, before);
                player.AwaySince = null;
            }

            return ValueTask.CompletedTask;
        });
    }
    finally
    {
        player.AwaySince = DateTime.UtcNow;
    }
}

internal sealed class Player
{
    public int X = 20, Wish;
    public DateTime? AwaySince;
}
