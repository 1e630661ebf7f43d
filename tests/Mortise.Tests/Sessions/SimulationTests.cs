using System.Globalization;
using Xunit;

namespace Mortise.Tests.Sessions;

/// <summary>
/// Hundreds of bad networks, each told by one number. MORTISE_SEEDS sets how many, MORTISE_SEED the first.
/// </summary>
[Collection("alone")]
public sealed class SimulationTests
{
    private const int OperationsPerSeed = 250;

    [Fact]
    public void Order_and_bytes_and_ends_hold_for_every_seed() => OnOneThread(() =>
    {
        var first = Number("MORTISE_SEED", 1);
        var seeds = Number("MORTISE_SEEDS", 2000);
        for (var seed = first; seed < first + seeds; seed++)
            Run(seed);
    });

    [Fact]
    public void The_same_seed_takes_the_same_course_twice() => OnOneThread(() =>
    {
        for (var seed = 1; seed <= 100; seed++)
            Assert.Equal(Run(seed), Run(seed));
        Assert.NotEqual(Run(1), Run(999));
    });

    private static ulong Run(int seed)
    {
        var simulation = new Simulation(seed);
        simulation.Run(OperationsPerSeed);
        return simulation.TraceHash;
    }

    /// <summary>
    /// A thread of our own: no synchronization context, and a stack so deep that no continuation is moved to the pool.
    /// </summary>
    private static void OnOneThread(Action work)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                work();
            }
            catch (Exception e)
            {
                failure = e;
            }
        }, 64 << 20);
        thread.Start();
        thread.Join();
        if (failure is not null)
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
    }

    private static int Number(string variable, int otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text
            ? int.Parse(text, CultureInfo.InvariantCulture) : otherwise;
}
