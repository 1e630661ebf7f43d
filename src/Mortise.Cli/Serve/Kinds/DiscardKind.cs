using System.CommandLine;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>Takes everything and answers nothing (RFC 863); how much came is told when the connection closes.</summary>
internal sealed class DiscardKind() : Kind("discard", "tcp://127.0.0.1:7009", "Take what comes and answer nothing")
{
    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        if (settings.Framing is { } framing)
        {
            var codec = Codec.Frames(framing);
            return c => c.HandleAsync(codec, (_, frame) =>
            {
                if (log.WantsMessages)
                    log.Received(c, frame.Span);
                return default;
            });
        }

        return c => EachPieceAsync(c, piece =>
        {
            if (log.WantsMessages)
                log.Received(c, piece.Span);
            return default;
        });
    }
}
