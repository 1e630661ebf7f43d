#:project ../src/Mortise/Mortise.csproj
// Sends back whatever comes. In another terminal: nc 127.0.0.1 7007
using Mortise;

await SocketServer.RunAsync(args is [var at] ? at : ":7007", c => c.Input.CopyToAsync(c.Output, c.Closed));
