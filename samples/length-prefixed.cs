#:project ../src/Mortise/Mortise.csproj
// Typed messages: a 4-byte big-endian length, then JSON. Encoding and decoding are generated at compile time.
using System.Text.Json.Serialization;
using Mortise;

var codec = Codec.LengthPrefixed(maxFrame: 64 * 1024).Json(OrderJson.Default.Order);
var prices = new Dictionary<string, decimal> { ["tea"] = 2.50m, ["cake"] = 4.20m };

await SocketServer.RunAsync(args is [var at] ? at : ":7070", codec, (session, order) =>
    session.SendAsync(order with { Total = prices.GetValueOrDefault(order.Item) * order.Count }));

internal sealed record Order(string Item, int Count, decimal Total);

[JsonSerializable(typeof(Order))]
internal sealed partial class OrderJson : JsonSerializerContext;
