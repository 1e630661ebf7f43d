#:project ../src/Mortise/Mortise.csproj
// The tutorials' order of calls, one to one: socket, bind, listen -> accept -> recv, send -> close.
using System.Text;
using Mortise;

using var listener = SocketServer.Listen(args is [var at] ? at : ":10000");         // socket, bind, listen
Console.WriteLine($"Listening... on {listener.Endpoint}, backlog {listener.Backlog}");
var buffer = new byte[512];
while (true)
{
    await using var client = await listener.AcceptAsync();                          // accept
    Console.WriteLine($"new client {client.RemoteEndpoint.Authority}");
    try
    {
        while (await client.ReceiveAsync(buffer) is var received and > 0)           // recv: 0 = the peer finished
        {
            var said = buffer.AsMemory(0, received);
            Console.Write($"client says: {Encoding.UTF8.GetString(said.Span)}");
            await client.SendAsync(said);                                           // send: all of it, however long
        }

        Console.WriteLine("client is disconnect..");
    }
    catch (ConnectionException e)
    {
        Console.WriteLine(e.Message);                                               // a reset ends one client, not us
    }
}                                                                                   // close: end of `await using`
