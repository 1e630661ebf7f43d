using System.CommandLine;
using System.Text;
using System.Text.RegularExpressions;

namespace Mortise.Cli.Talk;

/// <summary>The options that connect, listen and send share, and what they come to.</summary>
internal sealed class TalkOptions
{
    public Option<string?> Frame { get; } = new("--frame")
    {
        Description = "whole frames in and out, one line of stdin each: line, len:4, delim:\\r\\n, fixed:16, …",
        HelpName = "RULE",
    };

    public Option<string?> Send { get; } = new("--send")
    {
        Description = @"send this instead of stdin; \n \r \t \0 \\ \xNN are escapes, {n} counts from 1",
        HelpName = "TEXT",
    };

    public Option<string?> Every { get; } = new("--every")
    {
        Description = "send again after T, until --count",
        HelpName = "T",
    };

    public Option<int?> Count { get; } = new("--count")
    {
        Description = "how often to send (1, or for ever with --every)",
        HelpName = "N",
    };

    public Option<string?> Encoding { get; } = new("--encoding")
    {
        Description = "what the peer speaks: gb18030, big5, shift_jis, latin1, … (here it is UTF-8)",
        HelpName = "NAME",
    };

    public Option<string?> Expect { get; } = new("--expect")
    {
        Description = "exit 0 once this has come and our input is sent, 1 if it does not come",
        HelpName = "REGEX",
    };

    public Option<string?> Timeout { get; } = new("--timeout")
    {
        Description = "the longest silence, and the longest connect; then exit 5 "
            + "(10 s to connect, 30 s after stdin ended)",
        HelpName = "T",
    };

    public Option<bool> Hex { get; } = new("--hex") { Description = "show what comes as a hex dump" };
    public Option<bool> Raw { get; } = new("--raw") { Description = "on a terminal too: bytes as they come" };
    public Option<bool> Json { get; } = new("--json") { Description = "NDJSON events on stdout" };
    public Option<bool> Verbose { get; } = new("--verbose", "-v") { Description = "say what happens on stderr" };
    public Option<string> LogFormat { get; } = new("--log-format")
    {
        Description = "text, json, or seed (the words of the tutorials' programs)",
        DefaultValueFactory = _ => "text",
    };

    public Option<bool> NoHalfClose { get; } = new("--no-half-close")
    {
        Description = "when stdin ends keep the connection open until the peer closes",
    };

    public Option<bool> HalfClose { get; } = new("--half-close")
    {
        Description = "when stdin ends say so to the peer and go on reading (the default)",
    };

    public void AddTo(Command command)
    {
        LogFormat.AcceptOnlyFromAmong("text", "json", "seed");
        Option[] all =
        [
            Send, Every, Count, Frame, Encoding, Expect, Timeout, HalfClose, NoHalfClose, Hex, Raw, Json, LogFormat,
            Verbose,
        ];
        foreach (var option in all)
            command.Add(option);
    }

    public bool IsJson(ParseResult parsed) => parsed.GetValue(Json) || parsed.GetValue(LogFormat) == "json";

    /// <summary>True where a person reads what we say about the connection.</summary>
    public bool IsChatty(ParseResult parsed) =>
        parsed.GetValue(Verbose) || !Console.IsErrorRedirected && !Console.IsOutputRedirected && !IsJson(parsed);

    public Framing? FramingOf(ParseResult parsed) => parsed.GetValue(Frame) is { } rule ? Framing.Parse(rule) : null;

    public TimeSpan? TimeoutOf(ParseResult parsed) =>
        parsed.GetValue(Timeout) is { } text ? TextValues.Time(text, Timeout.Name) : null;

    /// <exception cref="InvalidSettingException">Count or time is no such thing.</exception>
    public Outgoing OutgoingOf(ParseResult parsed)
    {
        var every = parsed.GetValue(Every) is { } text ? TextValues.Time(text, Every.Name) : (TimeSpan?)null;
        var count = parsed.GetValue(Count) ?? (every is null ? 1 : int.MaxValue);
        if (count < 1)
            throw new InvalidSettingException("send", $"--count {count}", "it counts from 1");
        var framing = FramingOf(parsed);
        return new Outgoing
        {
            Texts = parsed.GetValue(Send) is { } send ? [send] : null,
            Count = count,
            Every = every ?? TimeSpan.Zero,
            Encoding = EncodingOf(parsed),
            ByLine = framing is not null || parsed.GetValue(LogFormat) == "seed",
            LineBytesMax = framing?.FrameBytesMax ?? Framing.FrameBytesMaxDefault,
        };
    }

    public PeerOutput OutputOf(ParseResult parsed, ExchangePlan plan, long connectionId = 0) =>
        new(StyleOf(parsed), EncodingOf(parsed), plan.Expected, connectionId);

    /// <exception cref="InvalidSettingException">The rule, time or expression is no such thing.</exception>
    public ExchangePlan PlanOf(ParseResult parsed) => new()
    {
        Framing = FramingOf(parsed),
        HalfClose = !parsed.GetValue(NoHalfClose),
        Timeout = TimeoutOf(parsed),
        Expected = ExpectedOf(parsed),
    };

    /// <summary>0, or 1 and a word about it where what --expect asks for did not come.</summary>
    public int ExitOf(ParseResult parsed, PeerOutput output, Endpoint peer)
    {
        if (!output.Unmet)
            return ExitCodes.Ok;
        Console.Error.WriteLine($"expect: {peer.Authority} sent nothing that matches {parsed.GetValue(Expect)}");
        return ExitCodes.NotMet;
    }

    private OutputStyle StyleOf(ParseResult parsed) =>
        IsJson(parsed) ? OutputStyle.Json
        : parsed.GetValue(LogFormat) == "seed" ? (parsed.GetValue(Send) is null
            ? OutputStyle.SeedReceived
            : OutputStyle.SeedServerSays)
        : parsed.GetValue(Hex) ? OutputStyle.Hex
        : Console.IsOutputRedirected || parsed.GetValue(Raw) ? OutputStyle.Raw
        : OutputStyle.Terminal;

    private Regex? ExpectedOf(ParseResult parsed)
    {
        if (parsed.GetValue(Expect) is not { } pattern)
            return null;
        try
        {
            return new Regex(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (Exception e) when (e is ArgumentException or NotSupportedException)
        {
            throw new InvalidSettingException("expect", pattern, "this is no regular expression that can be used here",
                e.Message);
        }
    }

    private Encoding? EncodingOf(ParseResult parsed) =>
        parsed.GetValue(Encoding) is { } name ? TextValues.Encoding(name) : null;
}
