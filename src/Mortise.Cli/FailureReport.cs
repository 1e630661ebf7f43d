using System.Globalization;

namespace Mortise.Cli;

/// <summary>How a verb's failure is told: as text on stderr, and with <c>--json</c> as an event on stdout.</summary>
internal sealed record FailureReport(bool Json, bool Verbose, string Language)
{
    /// <summary>Tells the failure and gives its exit code.</summary>
    public int Tell(Exception failure)
    {
        failure = Named(failure);
        var code = ExitCodes.Of(failure);
        if (failure is ClosedOutputException)
            return code;
        if (Json)
            TellJson(failure);
        else if (failure is MortiseException known)
            TellText(known);
        else if (failure is OperationCanceledException)
            Console.Error.WriteLine(Wording.In(Language, "interrupted", "已中断"));
        else if (code == ExitCodes.Unexpected)
            Console.Error.WriteLine("mortise: " + Wording.In(Language, "an error that Mortise did not foresee"
                + (Verbose ? "" : "; -v shows where it happened, please report it"),
                "Mortise 没有预料到的错误" + (Verbose ? "" : "；用 -v 查看出错位置，并请报告")));
        else
            Console.Error.WriteLine("mortise: " + TerminalText.Escape(failure.Message));
        // A failure with a name, a reason and a hint gains nothing from our stack.
        if (Verbose && failure is not (OperationCanceledException or MortiseException))
            Console.Error.WriteLine(failure);
        return code;
    }

    /// <summary>A full disk in the catalogue's words; on Unix the HResult of a failed write is its errno.</summary>
    public static Exception Named(Exception failure, string? file = null) =>
        failure is IOException and not MortiseException && !OperatingSystem.IsWindows()
        && ErrorCatalogue.TryFind(failure.HResult.ToString(CultureInfo.InvariantCulture), out var entry)
        && entry.Symbol is "ENOSPC" or "EDQUOT"
            ? new MortiseException("write", file, entry.Symbol, entry.English.Meaning, errno: entry.Errno,
                inner: failure)
            : failure;

    private void TellText(MortiseException failure)
    {
        var where = failure.Endpoint is null ? failure.Operation : $"{failure.Operation} {failure.Endpoint}";
        var name = failure.Errno == 0 ? failure.Symbol : $"{failure.Symbol} {failure.Errno}";
        var (reason, hint) = Wording.Of(failure, Language);
        Console.Error.WriteLine(TerminalText.Escape($"mortise: {where}: {reason} ({name})"));
        if (hint is not null)
            Console.Error.WriteLine(TerminalText.Escape($"  {Wording.In(Language, "try", "试试")}: {hint}"));
        if (failure is not InvalidSettingException && ErrorCatalogue.TryFind(failure.Symbol, out _))
            Console.Error.WriteLine($"  {Wording.In(Language, "more", "更多")}: mortise explain {failure.Symbol}");
    }

    private static void TellJson(Exception failure) => JsonLine.Write("error", json =>
    {
        var known = failure as MortiseException;
        json.WriteNumber("errno", known?.Errno ?? 0);
        json.WriteString("symbol", known?.Symbol ?? failure.GetType().Name);
        json.WriteString("op", known?.Operation);
        json.WriteString("endpoint", known?.Endpoint);
        json.WriteString("reason", known?.Reason ?? failure.Message);
        json.WriteString("hint", known?.Hint);
    });
}
