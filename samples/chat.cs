#:project ../src/Mortise/Mortise.csproj
// A chat with rooms, for anybody with nc: /name NAME, /join ROOM, /who, /quit; every other line is said to the room.
using Mortise;

var codec = Codec.Lines(lineBytesMax: 1024); // one for all: a broadcast is encoded once for each codec
await SocketServer.RunAsync(args is [var at] ? at : ":7007", ServeAsync, o => o.SlowReaders = SlowReaders.DropOldest);

async Task ServeAsync(Connection connection)
{
    var me = connection.AsSession(codec); // there before the first line: who only listens is in the room too
    var (name, room) = ($"guest{me.Id}", me.Groups["lobby"]);
    me.OnMissed = (s, count) => s.TrySend($"* you read too slowly and missed {count} lines");
    try
    {
        room.Add(me);
        room.Broadcast($"* {name} is here");
        await me.HandleAsync((_, line) => HearAsync(line));
    }
    finally
    {
        room.Broadcast($"* {name} left"); // who is gone has left its groups already
    }

    async ValueTask HearAsync(string line)
    {
        // Without this, what one writes could move the cursor of another's terminal.
        line = string.Concat(line.Where(c => !char.IsControl(c)));
        switch (line.Split(' ', 2))
        {
            case ["/name", var wanted]:
                name = wanted;
                break;
            case ["/join", var wanted]:
                try
                {
                    var next = me.Groups[wanted];
                    room.Remove(me);
                    room.Broadcast($"* {name} left");
                    next.Add(me);
                    room = next;
                    room.Broadcast($"* {name} is here");
                }
                catch (GroupLimitException e) // names come from peers
                {
                    await me.SendAsync($"* {e.Reason}");
                }

                break;
            case ["/who"]:
                await me.SendAsync($"* {room.Count} here");
                break;
            case ["/quit"]:
                me.Finish();
                break;
            default:
                room.Broadcast($"{name}: {line}", except: me);
                break;
        }
    }
}
