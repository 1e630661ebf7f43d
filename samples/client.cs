#:project ../src/Mortise/Mortise.csproj
// A client of lines.cs: sends what you type, prints what comes back, and waits for a server that is not up yet.
using Mortise;

await using var session = await SocketClient.ConnectAsync(args is [var at] ? at : ":7007", Codec.Lines(), o =>
{
    o.Retries = 5;
    o.OnRetry = (n, error, pause) =>
        Console.Error.WriteLine($"try {n}: {error.Symbol}; again in {pause.TotalSeconds:0.0} s");
});

while (Console.ReadLine() is { } line)
{
    await session.SendAsync(line);
    Console.WriteLine(await session.ReceiveAsync());
}
