using System.Net;
using System.Text;

namespace Mortise.Cli.Serve;

/// <summary>What the flags of `mortise serve` come to.</summary>
internal sealed record ServeSettings
{
    /// <summary>Null = raw bytes.</summary>
    public Framing? Framing { get; init; }

    public required Encoding Encoding { get; init; }

    public bool Verbose { get; init; }

    public bool Quiet { get; init; }

    /// <summary><c>text</c>, <c>json</c> or <c>seed</c>.</summary>
    public required string LogFormat { get; init; }

    public string? ReadyFile { get; init; }

    public Endpoint? Metrics { get; init; }

    /// <summary>The backlog that was typed, or null.</summary>
    public int? BacklogAsked { get; init; }

    public required Action<ServerOptions> Configure { get; init; }
}

/// <summary>Who may come in: <c>--allow</c> and <c>--deny</c>.</summary>
internal static class Networks
{
    /// <summary>A predicate for <see cref="ServerOptions.Admit"/>, or null where everybody may.</summary>
    /// <exception cref="InvalidSettingException">A text is no network.</exception>
    public static Func<Endpoint, bool>? Read(string[]? allow, string[]? deny)
    {
        IPNetwork[] allowed = [.. (allow ?? []).Select(TextValues.Network)];
        IPNetwork[] denied = [.. (deny ?? []).Select(TextValues.Network)];
        if (allowed.Length == 0 && denied.Length == 0)
            return null;
        // A Unix peer has no address; who may use the socket's file, its permissions say.
        return peer => peer.Address is not { } address
            || !denied.Any(n => n.Contains(address)) && (allowed.Length == 0 || allowed.Any(n => n.Contains(address)));
    }
}
