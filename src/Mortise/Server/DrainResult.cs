namespace Mortise;

/// <summary>How a drain ended.</summary>
/// <param name="Finished">Connections that finished by themselves within the time.</param>
/// <param name="Aborted">Connections that were cut off at the deadline.</param>
/// <param name="Elapsed">How long it took.</param>
public readonly record struct DrainResult(int Finished, int Aborted, TimeSpan Elapsed);
