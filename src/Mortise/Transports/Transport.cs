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

/// <summary>Somebody whom a listener has accepted and nobody has let in yet. One of the two happens, once.</summary>
internal abstract class Newcomer
{
    public abstract Endpoint Remote { get; }

    /// <summary>
    /// Becomes a connection, which is served soon: on its home or on the thread pool, never on the caller's stack.
    /// </summary>
    public abstract void Enter(Action<Connection> serve, bool atHome);

    /// <summary>Is sent away; the peer sees a reset (RST).</summary>
    public abstract void Refuse(CloseReason reason);
}

/// <summary>A newcomer that is a connection from the start.</summary>
internal sealed class ConnectedNewcomer(Connection connection) : Newcomer
{
    public override Endpoint Remote => connection.RemoteEndpoint;

    public override void Enter(Action<Connection> serve, bool atHome) => connection.Start(serve, atHome);

    public override void Refuse(CloseReason reason) => connection.AbortFor(reason);
}
