namespace Mortise.Transports;

/// <summary>How bytes arrive: one way to listen and to connect. Choosing among them is the front door's work.</summary>
internal abstract class Transport
{
    /// <summary>The name that logs and <c>--engine</c> use.</summary>
    public abstract string Name { get; }

    /// <summary>The name and why it was chosen, for the one line at the start of a log.</summary>
    public virtual string About => Name;

    public abstract bool Carries(EndpointKind kind);

    /// <exception cref="BindException">The address is in use, not local, or not permitted.</exception>
    public abstract Listener Listen(Endpoint endpoint, TransportOptions options);

    /// <summary>One attempt to one address; names are resolved before.</summary>
    /// <exception cref="ConnectException">The attempt failed; no descriptor is left behind.</exception>
    public abstract ValueTask<Connection> ConnectAsync(Endpoint endpoint, TransportOptions options,
        CancellationToken cancellationToken);
}
