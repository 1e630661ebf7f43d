namespace Mortise;

/// <summary>Where a <see cref="SocketClient{T}"/> is on its way to a server.</summary>
public enum ClientState
{
    /// <summary>It connects to an endpoint, or <see cref="SocketClientOptions{T}.OnConnected"/> runs.</summary>
    Connecting,
    /// <summary>Messages flow.</summary>
    Connected,
    /// <summary>It pauses before the next attempt.</summary>
    Waiting,
    /// <summary>It was disposed and does not come back.</summary>
    Closed,
}

/// <summary>A <see cref="SocketClient{T}"/> went on to another state.</summary>
/// <param name="State">The state from now on.</param>
/// <param name="Endpoint">The server it is about; after <see cref="ClientState.Closed"/> the last one.</param>
/// <param name="Pause">How long it waits; zero in the other states.</param>
/// <param name="Error">
/// How the last attempt failed or the last connection ended; null where none did yet, or this one just succeeded.
/// </param>
public readonly record struct ClientStateChange(ClientState State, Endpoint Endpoint, TimeSpan Pause,
    Exception? Error);
