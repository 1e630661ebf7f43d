using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace Mortise.Cli.Talk;

/// <summary>How the peer's bytes are shown.</summary>
internal enum OutputStyle
{
    /// <summary>As they are; frames end with a newline each.</summary>
    Raw,
    /// <summary>For a person at a terminal: every line marked, control characters written out.</summary>
    Terminal,
    /// <summary>A hex dump.</summary>
    Hex,
    /// <summary>One JSON event for each piece, also for what was sent.</summary>
    Json,
    /// <summary>The words of the first tutorial's client.</summary>
    SeedReceived,
    /// <summary>The words of the echo tutorial's client.</summary>
    SeedServerSays,
}

/// <summary>Shows what the peer says, and looks in it for what is expected.</summary>
internal sealed class PeerOutput(OutputStyle style, Encoding? encoding, Regex? expected, long connectionId = 0)
{
    private const int RememberedChars = 64 * 1024;

    private readonly Stream _out = StandardOutput.Open();
    private readonly Transcoder? _toUtf8 = encoding is null ? null : new Transcoder(encoding, Encoding.UTF8);
    private readonly Transcoder _shown = new(encoding ?? Encoding.UTF8, Encoding.UTF8);
    private readonly Transcoder _searched = new(encoding ?? Encoding.UTF8, Encoding.UTF8);
    private readonly TaskCompletionSource _met = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly StringBuilder _remembered = new();
    private long _shownBytes;

    /// <summary>Completes when the expected text has come; never where nothing is expected.</summary>
    public Task Satisfied => _met.Task;

    /// <summary>True while something is expected that has not come.</summary>
    public bool Unmet => expected is not null && !_met.Task.IsCompleted;

    /// <summary>Shows a piece, or with <paramref name="whole"/> a frame.</summary>
    public async ValueTask ReceivedAsync(ReadOnlySequence<byte> bytes, bool whole)
    {
        if (bytes.IsEmpty && !whole)
            return;
        foreach (var part in whole ? new ReadOnlySequence<byte>(bytes.ToArray()) : bytes)
            await ShowAsync(part, whole);
    }

    /// <summary>Reports bytes that have gone to the peer.</summary>
    public void Sent(ReadOnlySpan<byte> bytes, bool whole)
    {
        if (style == OutputStyle.Json)
            TalkEvents.Moved("sent", connectionId, bytes, whole);
    }

    /// <summary>The peer has finished: half a character is shown as such.</summary>
    public async ValueTask EndedAsync()
    {
        if (style == OutputStyle.Raw && _toUtf8?.Convert(default, last: true) is { IsEmpty: false } half)
            await _out.WriteAsync(half);
        if (style == OutputStyle.SeedServerSays)
            Console.WriteLine("server disconnect...");
    }

    private async ValueTask ShowAsync(ReadOnlyMemory<byte> bytes, bool whole)
    {
        if (expected is not null)
            Expect(bytes.Span);
        switch (style)
        {
            case OutputStyle.Raw:
                await _out.WriteAsync(_toUtf8?.Convert(bytes.Span) ?? bytes);
                if (whole)
                    await _out.WriteAsync("\n"u8.ToArray());
                break;
            case OutputStyle.Json:
                TalkEvents.Moved("recv", connectionId, bytes.Span, whole);
                break;
            case OutputStyle.Hex:
                ShowHex(bytes.Span);
                break;
            default:
                var text = _shown.Decode(bytes.Span, last: whole);
                if (text.Length > 0 || whole)
                    ShowLines(text);
                break;
        }
    }

    /// <summary>Remote text never starts a line, or a peer could write what looks like ours.</summary>
    private void ShowLines(string text)
    {
        var mark = style switch
        {
            OutputStyle.SeedReceived => "recv data:",
            OutputStyle.SeedServerSays => "server say: ",
            _ => "← ",
        };
        if (text.EndsWith('\n'))
            text = text[..^1];
        foreach (var line in text.Split('\n'))
            Console.WriteLine(mark + TerminalText.Escape(line.TrimEnd('\r')));
    }

    private void ShowHex(ReadOnlySpan<byte> bytes)
    {
        for (; !bytes.IsEmpty; bytes = bytes[Math.Min(16, bytes.Length)..])
        {
            var row = bytes[..Math.Min(16, bytes.Length)];
            var hex = new StringBuilder();
            var text = new StringBuilder();
            foreach (var b in row)
            {
                hex.Append(CultureInfo.InvariantCulture, $"{b:x2} ").Append(hex.Length == 24 ? " " : "");
                text.Append(b is >= 0x20 and < 0x7F ? (char)b : '.');
            }

            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{_shownBytes:x8}  {hex,-50}|{text}|"));
            _shownBytes += row.Length;
        }
    }

    private void Expect(ReadOnlySpan<byte> bytes)
    {
        if (!Unmet)
            return;
        _remembered.Append(_searched.Decode(bytes));
        if (_remembered.Length > RememberedChars)
            _remembered.Remove(0, _remembered.Length - RememberedChars);
        if (expected!.IsMatch(_remembered.ToString()))
            _met.TrySetResult();
    }
}
