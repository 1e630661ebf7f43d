using System.CommandLine;
using Mortise.Cli.Serve.Kinds;

namespace Mortise.Cli.Serve;

/// <summary>`mortise serve KIND [ENDPOINT …]`: a server of one of the built-in kinds, until Ctrl+C.</summary>
internal static class ServeVerb
{
    public static Command Build()
    {
        var flags = new ServeFlags();
        var verb = new Command("serve", """
            Run a server until Ctrl+C: it stops accepting, lets connections finish, and exits 0.

              mortise serve echo                                    # tcp://127.0.0.1:7007
              mortise serve echo tcp://*:7007 unix:/run/echo.sock --frame line
              mortise serve echo --tls dev                          # tls://127.0.0.1:7007, a certificate of its own
              mortise serve reply :16555 --on hi=abc --else echo --once-per-conn
            """);
        foreach (var flag in flags.All)
            verb.Add(flag);
        Kind[] kinds = [new EchoKind(), new DiscardKind(), new ReplyKind(), new GameKind(), new ChatKind(),
            new HttpHelloKind()];
        foreach (var kind in kinds)
            verb.Add(Build(kind, flags));
        foreach (var (name, what) in LaterKinds)
            verb.Add(BuildLater(name, what));
        return verb;
    }

    private static readonly (string Name, string What)[] LaterKinds =
        [("http", "HTTP on this engine (not in this version)")];

    private static Command Build(Kind kind, ServeFlags flags)
    {
        var endpoints = new Argument<string[]>("ENDPOINT")
        {
            Description = $"where to listen, one or more; {kind.DefaultEndpoint} where none is given",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var command = new Command(kind.Name, kind.Description) { endpoints };
        foreach (var option in kind.Options)
            command.Add(option);
        command.SetAction((parsed, stop) =>
        {
            var at = flags.Tls.Endpoints(parsed, parsed.GetValue(endpoints) ?? [], kind.DefaultEndpoint);
            var run = new ServeRun(kind, parsed, flags.Read(parsed, kind), at);
            return run.RunAsync(stop);
        });
        return command;
    }

    private static Command BuildLater(string name, string what)
    {
        var command = new Command(name, what) { TreatUnmatchedTokensAsErrors = false };
        command.SetAction(int (ParseResult _) => throw new UnsupportedException("serve", name,
            $"the kind '{name}' is not in this version", "see mortise serve --help for the kinds that are"));
        return command;
    }
}
