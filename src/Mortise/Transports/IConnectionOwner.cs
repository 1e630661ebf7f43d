namespace Mortise.Transports;

/// <summary>Who brought a connection into the process: a server, or the budget of a client's descriptors.</summary>
internal interface IConnectionOwner
{
    /// <summary>The descriptor has been freed. Once per connection.</summary>
    void Released();

    /// <summary>
    /// The connection's code has kept its event loop from turning for so long; not <paramref name="certain"/>: it was
    /// the last that is known to have run there. From another thread.
    /// </summary>
    void HomeBlocked(Connection connection, bool certain, string home, int others, TimeSpan elapsed);
}

/// <summary>The owner of a connection whose descriptor is free already.</summary>
internal sealed class Orphaned : IConnectionOwner
{
    public static readonly Orphaned Instance = new();

    public void Released()
    {
    }

    public void HomeBlocked(Connection connection, bool certain, string home, int others, TimeSpan elapsed)
    {
    }
}
