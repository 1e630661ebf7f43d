namespace Mortise.Cli.Lookup;

/// <summary>
/// Which engine would carry streams here, and why. The library is asked by listening with each, so that nothing is told
/// here that `serve` would not do.
/// </summary>
internal static class EngineFacts
{
    private const string IoUring = "io_uring", LockedMemory = "locked memory";

    /// <summary>What the library's word about io_uring contains, and what changes that.</summary>
    private static readonly (string Said, string Change)[] Mends =
    [
        ("io_uring_disabled", "sysctl -w kernel.io_uring_disabled=0, or leave it: epoll serves"),
        ("seccomp", "a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register, "
            + "or leave it: epoll serves"),
        (LockedMemory, "LimitMEMLOCK=64M in the systemd unit, or ulimit -l up to the hard limit"),
        ("too old", "Linux 6.1 or later, or leave it: epoll serves"),
        ("no descriptor", "raise the limit of open files"),
    ];

    public static IEnumerable<Finding> All()
    {
        yield return Chosen();
        var (uring, refused) = Try(EngineKind.IoUring);
        yield return Engine(IoUring, uring, refused, "event loops over io_uring(7)",
            Mends.FirstOrDefault(m => refused?.Reason.Contains(m.Said, StringComparison.Ordinal) == true).Change);
        (var epoll, refused) = Try(EngineKind.Epoll);
        yield return Engine("epoll", epoll, refused, "event loops over epoll(7): the choice where io_uring is refused");
        (var managed, refused) = Try(EngineKind.Managed);
        yield return Engine("managed", managed, refused,
            "System.Net.Sockets: the choice off Linux, and for urgent data");
        if (Memory(uring is null) is { } memory)
            yield return memory;
    }

    /// <summary>What `auto` comes to; MORTISE_ENGINE has its say as in every program.</summary>
    private static Finding Chosen()
    {
        var (about, refused) = Try(EngineKind.Auto);
        if (about is null)
            return new("engine", "none", Verdict.Warn, $"{refused?.Endpoint}: {refused?.Reason}", refused?.Hint);
        var name = about.Split(' ', ':')[0];
        return new("engine", name, Verdict.Ok, "carries TCP and Unix streams here" + about[name.Length..],
            name == "managed" ? null : FormattableString.Invariant(
                $"event loops: {Environment.ProcessorCount}, one for each CPU; else: --loops N, --engine NAME"));
    }

    private static Finding Engine(string name, string? about, MortiseException? refused, string what,
        string? change = null) => about is not null
        ? new(name, "serves", Verdict.Ok, what)
        : new(name, "refused", Verdict.Note, refused?.Reason ?? "", change);

    private static Finding? Memory(bool isUringRefused)
    {
        if (KernelFacts.Limit("Max locked memory") is not var (soft, hard))
            return null;
        string Size(long bytes) => bytes == long.MaxValue ? "unlimited" : FormattableString.Invariant(
            $"{bytes / 1024:N0} KiB");
        var (_, refused) = isUringRefused ? Try(EngineKind.IoUring) : default;
        return new(LockedMemory, $"{Size(soft)} (hard limit {Size(hard)})",
            refused?.Reason.Contains(LockedMemory, StringComparison.Ordinal) == true ? Verdict.Warn : Verdict.Ok,
            isUringRefused ? "RLIMIT_MEMLOCK: what io_uring may pin" : "RLIMIT_MEMLOCK: enough for io_uring");
    }

    /// <summary>The library's words for the engine that would serve, or its refusal.</summary>
    private static (string? About, MortiseException? Refused) Try(EngineKind kind)
    {
        var isManaged = kind == EngineKind.Managed || Environment.GetEnvironmentVariable("MORTISE_ENGINE") == "managed";
        try
        {
            using var listener = SocketServer.Listen("tcp://127.0.0.1:0",
                new TransportOptions { Engine = kind, Loops = isManaged ? 0 : 1 });
            return (listener.Engine, null);
        }
        catch (MortiseException e)
        {
            return (null, e);
        }
    }
}
