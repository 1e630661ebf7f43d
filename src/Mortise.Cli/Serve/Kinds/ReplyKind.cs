using System.Buffers;
using System.CommandLine;
using System.Text;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>Fixed answers to fixed messages: the tutorial's hi → abc server, without its mistakes.</summary>
internal sealed class ReplyKind() : Kind("reply", "tcp://127.0.0.1:16555",
    "Answer fixed messages: --on hi=abc --else echo --once-per-conn")
{
    private readonly Option<string[]> _on = new("--on")
    {
        Description = @"answer the second text when the first comes; \n \r \t \0 \\ \xNN are escapes",
        HelpName = "TEXT=TEXT",
    };

    private readonly Option<string> _else = new("--else")
    {
        Description = "what anything else gets: echo, close, or this text",
        HelpName = "echo|close|TEXT",
        DefaultValueFactory = _ => "echo",
    };

    private readonly Option<bool> _once = new("--once-per-conn") { Description = "close after the first answer" };

    public override IEnumerable<Option> Options => [_on, _else, _once];

    protected override string Sample => "hi";

    public override Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log)
    {
        var answers = new Answers([.. (parsed.GetValue(_on) ?? []).Select(t => ReadPair(t, settings.Encoding))],
            parsed.GetValue(_else)!, settings.Encoding);
        var once = parsed.GetValue(_once);
        if (settings.Framing is null)
            return c => new RawDialogue(c, answers, once, log).RunAsync();
        var codec = Codec.Frames(settings.Framing);
        return c => AnswerFramesAsync(c, codec, answers, once, log);
    }

    private static Task AnswerFramesAsync(Connection connection, FrameCodec codec, Answers answers, bool once,
        ServeLog log) => connection.HandleAsync(codec, async (session, frame) =>
        {
            if (log.WantsMessages)
                log.Received(connection, frame.Span);
            var answer = answers.To(frame);
            if (answer is { } bytes)
            {
                await session.SendAsync(bytes);
                if (log.WantsMessages)
                    log.Sent(connection, bytes.Span);
            }

            if (once || answer is null)
                session.Finish();
        });

    private static (byte[] Key, byte[] Answer) ReadPair(string text, Encoding encoding)
    {
        var equals = text.IndexOf('=');
        if (equals <= 0)
            throw new InvalidSettingException("serve", $"--on {text}", "this is not TEXT=TEXT",
                "for example --on hi=abc; an = in the first text is written \\x3D");
        return (TextValues.Unescape(text[..equals], encoding), TextValues.Unescape(text[(equals + 1)..], encoding));
    }

    /// <summary>What is said to what.</summary>
    private sealed class Answers((byte[] Key, byte[] Answer)[] pairs, string otherwise, Encoding encoding)
    {
        private readonly byte[] _fixedElse = TextValues.Unescape(otherwise, encoding);

        /// <summary>True where anything else is sent back.</summary>
        public bool Echoes => otherwise == "echo";

        /// <summary>Null = close.</summary>
        public ReadOnlyMemory<byte>? To(ReadOnlyMemory<byte> message) => Exact(message.Span) ?? Else(message);

        public ReadOnlyMemory<byte>? Exact(ReadOnlySpan<byte> message)
        {
            foreach (var (key, answer) in pairs)
                if (message.SequenceEqual(key))
                    return answer;
            return null;
        }

        public bool MayBecomeKey(ReadOnlySpan<byte> held)
        {
            foreach (var (key, _) in pairs)
                if (held.Length < key.Length && key.AsSpan().StartsWith(held))
                    return true;
            return false;
        }

        private ReadOnlyMemory<byte>? Else(ReadOnlyMemory<byte> message) =>
            Echoes ? message : otherwise == "close" ? null : _fixedElse;
    }

    /// <summary>
    /// Without frames TCP does not say where a message ends: bytes are held while they may still become a key, and go
    /// the --else way once they cannot, or at the end of the stream.
    /// </summary>
    private sealed class RawDialogue(Connection connection, Answers answers, bool once, ServeLog log)
    {
        /// <summary>With --once-per-conn a long message is over when nothing more comes for so long.</summary>
        private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(50);

        private const int HeldBytesMax = 1024 * 1024;

        private readonly ArrayBufferWriter<byte> _held = new();

        public async Task RunAsync()
        {
            var (goOn, ended) = (true, false);
            while (goOn && !ended)
            {
                ended = await HoldMoreAsync(connection.Closed);
                if (_held.WrittenCount > 0 && (ended || !answers.MayBecomeKey(_held.WrittenSpan)))
                    goOn = await AnswerAsync() && !once;
            }
        }

        /// <summary>True at the end of the stream.</summary>
        private async ValueTask<bool> HoldMoreAsync(CancellationToken cancellationToken)
        {
            var read = await connection.Input.ReadAsync(cancellationToken);
            foreach (var part in read.Buffer)
                _held.Write(part.Span);
            connection.Input.AdvanceTo(read.Buffer.End);
            return read.IsCompleted;
        }

        /// <summary>Says what is to be said to the held bytes; false = close.</summary>
        private async ValueTask<bool> AnswerAsync()
        {
            if (once && answers.Echoes && answers.Exact(_held.WrittenSpan) is null)
                await HoldRestAsync();
            if (log.WantsMessages)
                log.Received(connection, _held.WrittenSpan);
            if (answers.To(_held.WrittenMemory) is not { } answer)
                return false;
            await connection.Output.WriteAsync(answer, connection.Closed);
            if (log.WantsMessages)
                log.Sent(connection, answer.Span);
            _held.ResetWrittenCount();
            return true;
        }

        private async ValueTask HoldRestAsync()
        {
            try
            {
                while (_held.WrittenCount < HeldBytesMax)
                {
                    using var quiet = CancellationTokenSource.CreateLinkedTokenSource(connection.Closed);
                    quiet.CancelAfter(Pause);
                    if (await HoldMoreAsync(quiet.Token))
                        return;
                }
            }
            catch (OperationCanceledException)
            {
                // The pause that ends the message.
            }
        }
    }
}
