namespace Mortise;

/// <summary>What became of a broadcast.</summary>
/// <param name="Queued">Members it is on its way to.</param>
/// <param name="Dropped">Members it does not reach: too slow, or over.</param>
public readonly record struct BroadcastResult(int Queued, int Dropped)
{
    internal BroadcastResult And(BroadcastResult other) => new(Queued + other.Queued, Dropped + other.Dropped);
}
