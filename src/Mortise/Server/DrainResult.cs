namespace Mortise;

/// <summary>How a drain ended.</summary>
/// <param name="Finished">Connections whose handlers left within the time and whose bytes the kernel has, whether their
/// peers had closed by then or not.</param>
/// <param name="Aborted">Connections that were cut off at the deadline with work undone.</param>
/// <param name="Elapsed">How long it took.</param>
public readonly record struct DrainResult(int Finished, int Aborted, TimeSpan Elapsed);
