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

    /// <summary>Whose certificate clients will see; null without TLS.</summary>
    public string? CertificateNote { get; init; }

    /// <summary>The backlog that was typed, or null.</summary>
    public int? BacklogAsked { get; init; }

    public required Action<ServerOptions> Configure { get; init; }
}
