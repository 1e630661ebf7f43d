namespace Mortise.Peers.Servers;

/// <summary>What a contestant is, and so how it is started and which load it understands.</summary>
internal enum Family
{
    Native,
    DotNet,
    Mortise,
}

/// <summary>One server of the comparison.</summary>
/// <param name="Name">As the command and the table write it.</param>
/// <param name="Family">How it is started.</param>
/// <param name="Engine">What MORTISE_ENGINE is set to; null for servers that are not ours.</param>
/// <param name="TakesLines">Whether it wants lines instead of any bytes.</param>
/// <param name="About">One sentence for the page.</param>
internal sealed record Contestant(string Name, Family Family, string? Engine, bool TakesLines, string About)
{
    /// <summary>Every ratio is to this one: 1.00.</summary>
    public const string Measure = "c-epoll";

    private static readonly (string Suffix, string Engine)[] Engines =
        [("uring", "io_uring"), ("epoll", "epoll"), ("managed", "managed")];

    public static readonly Contestant[] All =
    [
        new(Measure, Family.Native, null, false, "raw C: level-triggered epoll, recv and send; the measure"),
        new("c-epoll-256k", Family.Native, null, false, "the measure with a buffer of 256 KiB in place of 64"),
        new("c-uring", Family.Native, null, false, "raw C: io_uring with multishot receive and provided buffers"),
        new("libuv", Family.Native, null, false, "C on libuv, uv_try_write first"),
        new("libevent", Family.Native, null, false, "C on libevent's plain events"),
        new("asio", Family.Native, null, false, "C++ on standalone Asio"),
        .. Engines.Select(e => new Contestant($"mortise-{e.Suffix}", Family.Mortise, e.Engine, false,
            $"`c => c.Input.CopyToAsync(c.Output, c.Closed)` on {e.Engine}")),
        .. Engines.Select(e => new Contestant($"mortise-{e.Suffix}-loop", Family.Mortise, e.Engine, false,
            $"ReadAsync, WriteAsync of each segment, AdvanceTo on {e.Engine}: no fast path")),
        .. Engines.Select(e => new Contestant($"mortise-{e.Suffix}-lines", Family.Mortise, e.Engine, true,
            $"`Codec.Frames(Framing.Parse(\"line\"))` on {e.Engine}: framed and answered one by one, as bytes")),
        .. Engines.Select(e => new Contestant($"mortise-{e.Suffix}-text", Family.Mortise, e.Engine, true,
            $"`Codec.Lines()` on {e.Engine}: the same, each line decoded to a string and back")),
        new("socket", Family.DotNet, null, false, ".NET Socket, ReceiveAsync of nothing, then a rented buffer"),
        new("saea", Family.DotNet, null, false, ".NET SocketAsyncEventArgs, a buffer per connection"),
        new("kestrel", Family.DotNet, null, false, "Kestrel's stock transport under a ConnectionHandler"),
    ];

    /// <summary>Only for <c>bench broadcast</c>.</summary>
    private static readonly Contestant[] Broadcasters =
    [
        new("c-broadcast", Family.Native, null, true, "raw C: level-triggered epoll, one send for each member"),
        .. Engines.Select(e => new Contestant($"mortise-{e.Suffix}-broadcast", Family.Mortise, e.Engine, true,
            $"`s.Groups[\"all\"].Broadcast(line, except: s)` on {e.Engine}")),
    ];

    /// <summary>Accepted by hand, nothing around them: only <c>bench scale</c> asks what they cost.</summary>
    private static readonly Contestant[] Bare = [.. Engines.Select(e => new Contestant($"mortise-{e.Suffix}-bare",
        Family.Mortise, e.Engine, false, $"a connection and nothing else on {e.Engine}"))];

    /// <summary>Ours, as it is by default, on one engine.</summary>
    /// <exception cref="FormatException">There is no such engine.</exception>
    public static Contestant OnEngine(string engine) => All.FirstOrDefault(c => c.Engine == engine)
        ?? throw new FormatException(
            $"no engine '{engine}'; there are: {string.Join(", ", Engines.Select(e => e.Engine))}");

    /// <exception cref="FormatException">There is no such server.</exception>
    public static Contestant Named(string name) => Everybody.FirstOrDefault(c => c.Name == name)
        ?? throw new FormatException(
            $"no server '{name}'; there are: {string.Join(", ", Everybody.Select(c => c.Name))}");

    private static IEnumerable<Contestant> Everybody => All.Concat(Bare).Concat(Broadcasters);
}
