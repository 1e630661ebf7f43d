#:project ../src/Mortise/Mortise.csproj
// The tutorials' order of calls, one to one: socket, connect -> send, recv -> close.
using System.Text;
using Mortise;

await using var server = await SocketClient.ConnectAsync(args is [var at] ? at : ":10000");      // socket, connect
for (var n = 1; n <= 3; n++)
{
    var message = Encoding.UTF8.GetBytes($"hi, I am client...{n}\n");
    await server.SendAsync(message);                                                // send
    var reply = new byte[message.Length];
    await server.ReceiveExactlyAsync(reply);                                        // recv, until all of it is here
    Console.Write($"server say: {Encoding.UTF8.GetString(reply)}");
}                                                                                   // close: end of `await using`
