#:project ../src/Mortise/Mortise.csproj
// The tutorials' order of calls, one to one: socket, bind, listen -> accept -> recv, send -> close.
using Mortise;

using var listener = SocketServer.Listen(args is [var at] ? at : ":10000");         // socket + bind + listen
Console.WriteLine($"listening on {listener.Endpoint}, backlog {listener.Backlog}");
while (true)
{
    await using var client = await listener.AcceptAsync();                          // accept
    Console.WriteLine($"new client {client.RemoteEndpoint.Authority}");
    var buffer = new byte[512];
    try
    {
        while (await client.ReceiveAsync(buffer) is var received and > 0)           // recv: 0 = the peer finished
            await client.SendAsync(buffer.AsMemory(0, received));                   // send: all of it, however long
        Console.WriteLine("client is disconnect..");
    }
    catch (ConnectionException e)
    {
        Console.WriteLine(e.Message);                                               // a reset ends one client, not us
    }
}                                                                                   // close: end of `await using`
