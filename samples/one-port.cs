#:project ../src/Mortise/Mortise.csproj
// Two protocols on one port: curl http://127.0.0.1:7007/ and printf 'hello\n' | nc -N 127.0.0.1 7007
using Mortise;

await SocketServer.RunAsync(args is [var at] ? at : ":7007", async c => await (await c.DetectAsync() switch
{
    Protocol.Http => c.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nHELLO\n"u8.ToArray())
        .AsTask(),
    Protocol.Other => c.HandleAsync(Codec.Lines(), (s, line) => s.SendAsync(line.ToUpperInvariant())),
    _ => Task.CompletedTask, // TLS, a PROXY header, or nothing: the connection is closed
}));
