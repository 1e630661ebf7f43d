namespace Mortise;

/// <summary>Which engine carries streams here, and the words that say why.</summary>
/// <param name="Kind">Never <see cref="EngineKind.Auto"/>.</param>
/// <param name="About">For the log: <c>io_uring (kernel 6.18)</c>, <c>epoll: io_uring_setup: EPERM (…)</c>.</param>
internal sealed record EngineChoice(EngineKind Kind, string About)
{
    /// <summary>The environment variable that decides where the program leaves it to <see
    /// cref="EngineKind.Auto"/>.</summary>
    public const string Variable = "MORTISE_ENGINE";

    private static readonly Dictionary<string, EngineKind> Names = new()
    {
        ["auto"] = EngineKind.Auto, ["io_uring"] = EngineKind.IoUring, ["epoll"] = EngineKind.Epoll,
        ["managed"] = EngineKind.Managed,
    };

    /// <param name="asked">What the program set.</param>
    /// <param name="forced">The variable's text, or null.</param>
    /// <param name="isLinux">Whether this is Linux.</param>
    /// <param name="uringFailure">Null where io_uring serves, else what was tried and refused.</param>
    /// <exception cref="InvalidSettingException">The variable names no engine.</exception>
    /// <exception cref="UnsupportedException">The one engine that may serve cannot.</exception>
    public static EngineChoice Make(EngineKind asked, string? forced, bool isLinux, Func<string?> uringFailure)
    {
        var why = "asked for";
        if (asked == EngineKind.Auto && !string.IsNullOrEmpty(forced) && (asked = Parse(forced)) != EngineKind.Auto)
            why = $"forced by {Variable}";
        switch (asked)
        {
            case EngineKind.Managed:
                return new(asked, $"managed: {why}");
            case EngineKind.Auto when !isLinux:
                return new(EngineKind.Managed, "managed: not Linux");
            case EngineKind.IoUring or EngineKind.Epoll when !isLinux:
                throw Unsupported(asked, why, "it is Linux's");
            case EngineKind.Epoll:
                return new(asked, $"epoll: {why}");
        }

        if (uringFailure() is not { } failure)
            return new(EngineKind.IoUring, asked == EngineKind.Auto ? UringHere : $"{UringHere}: {why}");
        return asked == EngineKind.Auto
            ? new(EngineKind.Epoll, $"epoll: {failure}")
            : throw Unsupported(asked, why, failure);
    }

    private static string UringHere =>
        $"io_uring (kernel {Environment.OSVersion.Version.Major}.{Environment.OSVersion.Version.Minor})";

    private static EngineKind Parse(string text) => Names.TryGetValue(text, out var kind)
        ? kind
        : throw new InvalidSettingException("engine", $"{Variable}={text}", "there is no such engine",
            $"choose one of {string.Join(", ", Names.Keys)}");

    private static UnsupportedException Unsupported(EngineKind kind, string why, string reason) =>
        new("engine", $"{Names.First(n => n.Value == kind).Key} ({why})", reason,
            "leave the choice to auto, which takes the best that works here");
}
