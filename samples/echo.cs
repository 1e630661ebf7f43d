#:project ../src/Mortise/Mortise.csproj
using Mortise;

await SocketServer.RunAsync(args is [var at] ? at : ":7007", c => c.Input.CopyToAsync(c.Output, c.Closed));
