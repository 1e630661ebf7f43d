using Mortise.Peers.Running;

namespace Mortise.Peers.Scaling;

internal static class ScaleBench
{
    public static Task<int> RunAsync(BenchOptions options) => Task.FromResult(12);
}
