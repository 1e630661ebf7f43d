using System.Buffers;
using System.CommandLine;

namespace Mortise.Cli.Serve.Kinds;

/// <summary>A kind of server: its name, where it listens by default, and what it does with a connection.</summary>
internal abstract class Kind(string name, string defaultEndpoint, string description)
{
    private static readonly SearchValues<char> ShellReads = SearchValues.Create(@" \$*?;&|<>()[]{}#~!""`");

    public string Name { get; } = name;

    public string DefaultEndpoint { get; } = defaultEndpoint;

    public string Description { get; } = description;

    /// <summary>The framing rule where <c>--frame</c> is not given; null = raw.</summary>
    public virtual string? DefaultFrame => null;

    /// <summary>Flags that only this kind has.</summary>
    public virtual IEnumerable<Option> Options => [];

    /// <summary>What a newcomer may send to see an answer; <see cref="TryWith"/> shows how.</summary>
    protected virtual string Sample => "hello\\n";

    /// <summary>Runs once per connection; everything that flags decide is decided here, once.</summary>
    /// <exception cref="InvalidSettingException">Flags that contradict each other or cannot be read.</exception>
    public abstract Func<Connection, Task> Handler(ParseResult parsed, ServeSettings settings, ServeLog log);

    /// <summary>Limits and times that suit this kind; the flags go before them.</summary>
    public virtual void Configure(ServerOptions options)
    {
        // Most are content with the library's.
    }

    /// <summary>Endpoints besides those that were named, where the same is served in another way.</summary>
    /// <exception cref="InvalidSettingException">As <see cref="Handler"/>.</exception>
    public virtual IEnumerable<(Endpoint At, Framing Framing, Func<Connection, Task> Handler)> More(
        ParseResult parsed, ServeSettings settings, ServeLog log) => [];

    /// <summary>Commands that show the server at work; a sample of nc's is a frame where lines are.</summary>
    public virtual string TryWith(Endpoint endpoint, Framing? framing)
    {
        var where = endpoint.IsWildcard ? $"127.0.0.1 {endpoint.Port}" : $"{endpoint.Host} {endpoint.Port}";
        var shortest = endpoint.Kind == EndpointKind.Tcp && endpoint.Host is "127.0.0.1" or "*" or "0.0.0.0"
            ? $":{endpoint.Port}" : endpoint.ToString();
        var asked = endpoint.IsWildcard ? endpoint.WithHost(endpoint.Host == "::" ? "::1" : "127.0.0.1") : endpoint;
        var client = endpoint.Kind == EndpointKind.UnixDatagram || endpoint.Kind == EndpointKind.Udp
            ? $"mortise send {asked} {Sample}"
            : $"mortise connect {shortest}";
        var sample = framing is not null && !Sample.EndsWith("\\n", StringComparison.Ordinal) ? Sample + "\\n" : Sample;
        if (framing?.ToString() is { } rule && !rule.StartsWith("line", StringComparison.Ordinal))
            return $"{client} --frame {(rule.AsSpan().ContainsAny(ShellReads) ? $"'{rule}'" : rule)}";
        return endpoint.Kind switch
        {
            EndpointKind.Tcp => $"printf '{sample}' | nc -N {where}    or: {client}",
            EndpointKind.Udp => $"printf '{sample}' | nc -u -w1 {where}    or: {client}",
            EndpointKind.Unix when !endpoint.IsAbstract =>
                $"printf '{sample}' | nc -NU {endpoint.Host}    or: {client}",
            _ => client,
        };
    }

    /// <summary>Runs <paramref name="onPiece"/> for what arrives, in the pieces it arrives in, until the end.</summary>
    protected static async Task EachPieceAsync(Connection connection, Func<ReadOnlyMemory<byte>, ValueTask> onPiece)
    {
        while (true)
        {
            var read = await connection.Input.ReadAsync();
            foreach (var piece in read.Buffer)
                if (!piece.IsEmpty)
                    await onPiece(piece);
            connection.Input.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
                return;
        }
    }
}
