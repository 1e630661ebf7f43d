#:project ../src/Mortise/Mortise.csproj
// A remote call in one file: `rpc.cs serve` answers, `rpc.cs add 999 1` asks and prints 1000.
using System.Text.Json.Serialization;
using Mortise;

const string At = ":9100";
var codec = Codec.LengthPrefixed().Json(CallJson.Default.Call);
if (args is ["serve", ..])
{
    await SocketServer.RunAsync(args.ElementAtOrDefault(1) ?? At, codec, (session, call) =>
        session.SendAsync(call.Name switch
        {
            "add" => call with { Result = call.A + call.B },
            _ => call with { Error = $"there is no function '{call.Name}'" },
        }));
    return 0;
}

if (args is not [var name, var a, var b, ..] || !long.TryParse(a, out var left) || !long.TryParse(b, out var right))
{
    Console.Error.WriteLine("usage: rpc.cs serve [ENDPOINT]   or   rpc.cs NAME A B [ENDPOINT]");
    return 2;
}

await using var server = await SocketClient.ConnectAsync(args.ElementAtOrDefault(3) ?? At, codec);
await server.SendAsync(new Call(name, left, right));
var answer = await server.ReceiveAsync();
Console.WriteLine(answer.Error ?? $"{answer.Result}");
return answer.Error is null ? 0 : 1;

internal sealed record Call(string Name, long A, long B, long Result = 0, string? Error = null);

[JsonSerializable(typeof(Call))]
internal sealed partial class CallJson : JsonSerializerContext;
