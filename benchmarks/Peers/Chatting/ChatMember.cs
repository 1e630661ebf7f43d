using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Mortise.Peers.Chatting;

/// <summary>What somebody hears: a kind, who, what, and a count.</summary>
internal readonly record struct Heard(string Kind, string Name, string Text, long Count);

/// <summary>
/// Somebody in the chat, with lines or with JSON, who checks what is heard: each text carries its number and a sum over
/// itself, so that torn, lost, doubled and exchanged messages are seen.
/// </summary>
internal sealed class ChatMember(Session<string> session, bool isJson, string name) : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Dictionary<string, int> _next = [];

    public string Name => name;

    /// <summary>Who said which number, in the order heard.</summary>
    public List<(string Name, int Number)> Log { get; } = [];

    public int Said { get; private set; }

    public int Torn { get; private set; }

    public long Lost { get; private set; }

    public long Missed { get; private set; }

    /// <summary>How many texts those have said who are done.</summary>
    public Dictionary<string, int> Done { get; } = [];

    /// <summary>Comes in under this name, into this room.</summary>
    /// <exception cref="MortiseException">The connection ended.</exception>
    public static async Task<ChatMember> EnterAsync(int port, bool isJson, string name, string room)
    {
        var codec = isJson ? Codec.LengthPrefixed(64 * 1024).Utf8() : Codec.Lines(64 * 1024);
        var session = await SocketClient.ConnectAsync($"tcp://127.0.0.1:{port}", codec,
            o => o.Transport.Engine = EngineKind.Managed);
        var member = new ChatMember(session, isJson, name);
        await member.SendAsync("nick", name: name);
        await member.UntilAsync(h => h.Kind == "renamed" && h.Text == name);
        await member.SendAsync("join", room: room);
        await member.UntilAsync(h => h.Kind == "joined" && h.Name == "you");
        return member;
    }

    public Task SayAsync(string padding)
    {
        var text = string.Create(CultureInfo.InvariantCulture, $"{Said++} {padding}");
        return SendAsync("say", text: $"{text} {Sum(text)}");
    }

    /// <summary>The last word: how many there were.</summary>
    public Task SayDoneAsync() => SendAsync("say", text: string.Create(CultureInfo.InvariantCulture, $"done {Said}"));

    /// <summary>Hears until all of these are done.</summary>
    /// <exception cref="TimeoutException">Nothing came for half a minute.</exception>
    public Task HearAsync(IReadOnlyCollection<string> others) =>
        UntilAsync(_ => others.All(Done.ContainsKey));

    public void Abort() => session.Abort();

    public ValueTask DisposeAsync() => session.DisposeAsync();

    private async Task UntilAsync(Func<Heard, bool> isEnough)
    {
        Heard heard;
        do
        {
            heard = Read(await session.ReceiveAsync().AsTask().WaitAsync(Patience));
            if (heard.Kind == "say")
                Check(heard);
            else if (heard.Kind == "missed")
                Missed += heard.Count;
        }
        while (!isEnough(heard));
    }

    private void Check(Heard heard)
    {
        if (heard.Text.Split(' ') is ["done", var count])
        {
            Done[heard.Name] = int.Parse(count, CultureInfo.InvariantCulture);
            Lost += Math.Abs(Done[heard.Name] - _next.GetValueOrDefault(heard.Name));
            return;
        }

        var end = heard.Text.LastIndexOf(' ');
        if (end < 0 || Sum(heard.Text[..end]) != heard.Text[(end + 1)..])
        {
            Torn++;
            return;
        }

        var number = int.Parse(heard.Text[..heard.Text.IndexOf(' ')], CultureInfo.InvariantCulture);
        Lost += Math.Abs(number - _next.GetValueOrDefault(heard.Name));
        _next[heard.Name] = number + 1;
        Log.Add((heard.Name, number));
    }

    private Heard Read(string message)
    {
        if (isJson)
        {
            var json = JsonDocument.Parse(message).RootElement;
            string Of(string field) => json.TryGetProperty(field, out var value) ? value.GetString()! : "";
            return new(Of("kind"), Of("name"), Of("text"),
                json.TryGetProperty("count", out var count) ? count.GetInt64() : 0);
        }

        if (message.StartsWith('['))
        {
            var said = message[(message.IndexOf(' ') + 1)..];
            var colon = said.IndexOf(": ", StringComparison.Ordinal);
            return new("say", said[..colon], said[(colon + 2)..], 0);
        }

        return message.Split(' ') switch
        {
            ["*", var who, "is", "now", var now] => new("renamed", who, now, 0),
            ["*", var who, "joined", ..] => new("joined", who, "", 0),
            ["*", "you", .., "missed", var count, _] => new("missed", "", "",
                long.Parse(count, NumberStyles.AllowThousands, CultureInfo.InvariantCulture)),
            _ => new("notice", "", message, 0),
        };
    }

    private Task SendAsync(string kind, string? room = null, string? name = null, string? text = null) =>
        session.SendAsync(isJson ? Json(kind, room, name, text)
            : kind == "say" ? text! : $"/{kind} {room ?? name}").AsTask();

    private static string Json(string kind, string? room, string? name, string? text)
    {
        var bytes = new System.Buffers.ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(bytes))
        {
            json.WriteStartObject();
            json.WriteString("kind", kind);
            foreach (var (field, value) in new[] { ("room", room), ("name", name), ("text", text) })
                if (value is not null)
                    json.WriteString(field, value);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(bytes.WrittenSpan);
    }

    /// <summary>FNV-1a: a byte that is missing, doubled or of another message changes it.</summary>
    private static string Sum(string text)
    {
        var sum = 14695981039346656037;
        foreach (var b in Encoding.UTF8.GetBytes(text))
            sum = unchecked((sum ^ b) * 1099511628211);
        return sum.ToString("x16", CultureInfo.InvariantCulture);
    }
}
