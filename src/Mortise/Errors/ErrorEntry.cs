namespace Mortise;

/// <summary>One failure of the catalogue, under all of its names, explained in two languages.</summary>
/// <param name="Symbol">The POSIX name (<c>EADDRINUSE</c>), the resolver's (<c>HOST_NOT_FOUND</c>) or ours
/// (<c>frame_too_long</c>).</param>
/// <param name="Errno">The Linux errno value, see errno(3), or 0 where a system call cannot return this.</param>
/// <param name="Winsock">The number that Windows and <see cref="System.Net.Sockets.SocketError"/> use, or 0.</param>
/// <param name="WinsockSymbol">The Windows name, e.g. <c>WSAEADDRINUSE</c>, or null.</param>
/// <param name="English">The explanation in English.</param>
/// <param name="Chinese">The explanation in Chinese.</param>
public sealed record ErrorEntry(string Symbol, int Errno, int Winsock, string? WinsockSymbol,
    ErrorText English, ErrorText Chinese)
{
    /// <summary>The explanation for a language tag: Chinese for <c>zh</c>, <c>zh-CN</c>, …; else English.</summary>
    public ErrorText For(string language) =>
        language.StartsWith("zh", StringComparison.OrdinalIgnoreCase) ? Chinese : English;
}

/// <summary>What a failure means, why it happens and what to do, in one language.</summary>
/// <param name="Meaning">One sentence without a full stop, fit to stand inside a message.</param>
/// <param name="Causes">The likely causes, the likeliest first.</param>
/// <param name="Tries">What to try. One that helps a single operation opens with it: <c>connect: …</c>.</param>
public sealed record ErrorText(string Meaning, IReadOnlyList<string> Causes, IReadOnlyList<string> Tries)
{
    private static readonly string[] Operations = ["accept: ", "bind: ", "connect: ", "recv: ", "send: "];

    /// <summary>
    /// The one thing to try first when <paramref name="operation"/> failed: the first try that is for this operation,
    /// else the first that is for all. Exceptions carry it as <see cref="MortiseException.Hint"/>.
    /// </summary>
    public string HintFor(string operation)
    {
        var own = operation + ": ";
        if (Tries.FirstOrDefault(text => text.StartsWith(own, StringComparison.Ordinal)) is { } chosen)
            return chosen[own.Length..];
        return Tries.FirstOrDefault(text => !Operations.Any(op => text.StartsWith(op, StringComparison.Ordinal)))
            ?? Tries[0];
    }
}
