using System.CommandLine;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>Everything comes back (RFC 862): bytes as they come, or whole frames.</summary>
internal sealed class EchoKind() : Kind("echo", "tcp://127.0.0.1:7007",
    "Send back what comes: bytes, or whole frames with --frame; also over udp:// and unixgram:")
{
    private readonly Option<string?> _chaos = new("--chaos")
    {
        Description = "lose a part of the datagrams on purpose: loss=10%, with ,seed=7 the same ones again",
        HelpName = "FAULTS",
    };

    public override IEnumerable<Option> Options => [_chaos];

    /// <summary>What goes wrong on purpose, or null.</summary>
    /// <exception cref="InvalidSettingException">The text is no such thing.</exception>
    public Chaos? ChaosOf(ParseResult parsed) => parsed.GetValue(_chaos) is { } text ? Chaos.Parse(text) : null;

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        if (settings.Framing is { } framing)
        {
            var codec = Codec.Frames(framing);
            if (!log.WantsMessages)
                return c => c.HandleAsync(codec, static (s, frame) => s.SendAsync(frame));
            return c => c.HandleAsync(codec, (s, frame) =>
            {
                log.Received(c, frame.Span);
                log.Sent(c, frame.Span);
                return s.SendAsync(frame);
            });
        }

        if (!log.WantsMessages)
            return c => c.Input.CopyToAsync(c.Output, c.Closed);
        return c => EachPieceAsync(c, async piece =>
        {
            log.Received(c, piece.Span);
            await c.Output.WriteAsync(piece, c.Closed);
            log.Sent(c, piece.Span);
        });
    }
}
