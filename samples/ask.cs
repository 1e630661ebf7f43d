#:project ../src/Mortise/Mortise.csproj
// Both sides ask, on a wire format of your own: `ask.cs serve` greets whoever asks, and asks back for the name first;
// `ask.cs hello Ann` prints the greeting.
using System.Text.Json.Serialization;
using Mortise;
const string At = ":9101";
var codec = Codec.LengthPrefixed().Json(NoteJson.Default.Note);
var asking = new SessionOptions<Note>
{
    // isReply: the peer asks as well, so its request 7 must not be taken for the reply to our request 7.
    Correlation = Correlate.ById((Note n) => n.Id, (n, id) => n with { Id = id }, isReply: n => n.IsReply),
    RequestTimeout = TimeSpan.FromSeconds(5),
};

if (args is ["serve", ..])
{
    await SocketServer.RunAsync(args.ElementAtOrDefault(1) ?? At, codec, asking, async (session, note) =>
    {
        var name = await session.RequestAsync(new Note("who are you?")); // inside a handler, while the peer waits too
        await session.SendAsync(note with { Text = $"{note.Text}, {name.Text}!", IsReply = true });
    });
    return 0;
}

if (args is not [var greeting, var me, ..])
{
    Console.Error.WriteLine("usage: ask.cs serve [ENDPOINT]   or   ask.cs GREETING NAME [ENDPOINT]");
    return 2;
}

await using var server = await SocketClient.ConnectAsync(args.ElementAtOrDefault(2) ?? At, codec, asking);
_ = server.HandleAsync((session, note) => session.SendAsync(note with { Text = me, IsReply = true }));
Console.WriteLine((await server.RequestAsync(new Note(greeting))).Text);
return 0;

internal sealed record Note(string Text, long Id = 0, bool IsReply = false);

[JsonSerializable(typeof(Note))]
internal sealed partial class NoteJson : JsonSerializerContext;
