#:project ../src/Mortise/Mortise.csproj
// Answers every line in capitals. The codec finds the lines, however the network cut them.
using Mortise;

await SocketServer.RunAsync(args is [var at] ? at : ":7007", Codec.Lines(),
    (session, line) => session.SendAsync(line.ToUpperInvariant()));
