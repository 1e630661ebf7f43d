using Mortise.Transports.Uring;
using Xunit;

namespace Mortise.Tests.Transports.Linux;

/// <summary>The engines of this machine that have loops.</summary>
public static class Engines
{
    public static TheoryData<EngineKind> WithLoops { get; } = !OperatingSystem.IsLinux() ? []
        : UringProbe.Failure is null ? [EngineKind.Epoll, EngineKind.IoUring] : [EngineKind.Epoll];

    /// <summary>Two loops, whatever the machine has; the managed engine has none.</summary>
    public static void Set(this TransportOptions options, EngineKind engine) =>
        (options.Engine, options.Loops) = (engine, engine == EngineKind.Managed ? 0 : 2);
}
