#:project ../src/Mortise/Mortise.csproj
// A client of lines.cs that comes back: sends what you type, prints what the server says, and logs in again whenever
// the server was away. What you type meanwhile waits, up to 64 KiB. Give it two endpoints, and it has two servers.
using Mortise;

var servers = args is [] ? [":7007"] : args;
await using var client = SocketClient.Create(servers.Select(Endpoint.Parse), Codec.Lines(), o =>
{
    o.OnConnected = (session, ct) => session.SendAsync("hello, it is me", ct);
    o.WhileDown = WhileDown.Buffer(64 * 1024);
    o.OnLost = (outcome, messages) => Console.Error.WriteLine($"{messages} lines: {outcome}");
    o.OnStateChanged = (_, now) => Console.Error.WriteLine(now.State switch
    {
        ClientState.Waiting => $"{now.Error?.Message}; again in {now.Pause.TotalSeconds:0.0} s",
        var state => $"{state} {now.Endpoint}",
    });
    o.OnMessage = (_, line) =>
    {
        Console.WriteLine(line);
        return default;
    };
});

while (Console.ReadLine() is { } line)
{
    try
    {
        await client.SendAsync(line);
    }
    catch (UndeliveredException e) // the buffer is full, or the connection ended under this line
    {
        Console.Error.WriteLine($"{e.Outcome}: {e.Message}");
    }
}
