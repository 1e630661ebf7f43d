#:project ../src/Mortise/Mortise.csproj
// A chat with rooms, for anybody with nc: /name NAME, /join ROOM, /who, /quit; every other line is said to the room.
using Mortise;

var codec = Codec.Lines(lineBytesMax: 1024); // one for all: a broadcast is encoded once for each codec
await SocketServer.RunAsync(args is [var at] ? at : ":7007", ServeAsync, o => o.SlowReaders = SlowReaders.DropOldest);

async Task ServeAsync(Connection connection)
{
    var name = $"guest{connection.Id}";
    Group<string>? room = null;
    try
    {
        await connection.HandleAsync(codec, HearAsync);
    }
    finally
    {
        room?.Broadcast($"* {name} left"); // who is gone has left its groups already
    }

    async ValueTask HearAsync(Session<string> me, string line)
    {
        switch (line.Split(' ', 2))
        {
            case ["/name", var wanted]:
                name = wanted;
                break;
            case ["/join", var wanted]:
                try
                {
                    var next = me.Groups[wanted];
                    room?.Remove(me);
                    room?.Broadcast($"* {name} left");
                    next.Add(me);
                    room = next;
                    me.OnMissed = (s, count) => s.TrySend($"* you read too slowly and missed {count} lines");
                    next.Broadcast($"* {name} is here");
                }
                catch (GroupLimitException e) // names come from peers
                {
                    await me.SendAsync($"* {e.Reason}");
                }

                break;
            case ["/who"]:
                await me.SendAsync($"* {room?.Count ?? 0} here");
                break;
            case ["/quit"]:
                me.Finish();
                break;
            default:
                if (room?.Broadcast($"{name}: {line}", except: me) is null)
                    await me.SendAsync("* first: /join ROOM");
                break;
        }
    }
}
