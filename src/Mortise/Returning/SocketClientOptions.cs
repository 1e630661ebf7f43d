using Mortise.Sessions.Asking;

namespace Mortise;

/// <summary>
/// How a <see cref="SocketClient{T}"/> connects, comes back, and treats messages. Set in
/// <see cref="SocketClient.Create{T}(Endpoint, Codec{T}, Action{SocketClientOptions{T}}?)"/>, then left alone.
/// </summary>
/// <typeparam name="T">The message.</typeparam>
public sealed class SocketClientOptions<T> : ClientOptions
{
    /// <summary>
    /// The pauses before further attempts; with several endpoints, once all of them were tried. Default: exponential
    /// from 100 ms to 30 s with jitter. They begin anew after a connection that lived for <see cref="StableAfter"/>.
    /// </summary>
    public Backoff Reconnect { get; set; } =
        Backoff.Exponential(TimeSpan.FromMilliseconds(100), max: TimeSpan.FromSeconds(30));

    /// <summary>
    /// How long a connection must live to count as a success. Default 5 s. One that ends sooner counts as a failed
    /// attempt: a server that accepts and closes at once is not asked ever faster.
    /// </summary>
    public TimeSpan StableAfter { get; set => field = Checked(value); } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Runs on each new connection, to its end, before any message of the client's users goes out: a login, a
    /// subscription. Until it returns it may send, ask and receive on the session; then its messages are the client's.
    /// When it throws, or takes longer than <see cref="LoginTimeout"/>, the attempt has failed.
    /// </summary>
    public Func<Session<T>, CancellationToken, ValueTask>? OnConnected { get; set; }

    /// <summary>The most time for <see cref="OnConnected"/>: to 49 days, or infinite. Default 10 s.</summary>
    public TimeSpan LoginTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(10);

    /// <summary>What happens to messages while there is no connection. Default <see cref="WhileDown.Wait"/>.</summary>
    public WhileDown WhileDown { get; set; } = WhileDown.Wait;

    /// <summary>
    /// Told, in order and one after the other, of every change of <see cref="SocketClient{T}.State"/>. It must be quick
    /// and not throw; what it throws is ignored. To give up, dispose the client here, without waiting for it; what is
    /// held is then still tried for <see cref="DrainTimeout"/>.
    /// </summary>
    public Action<SocketClient<T>, ClientStateChange>? OnStateChanged { get; set; }

    /// <summary>
    /// Called for one message after another, in place of <see cref="SocketClient{T}.Messages"/>. Replies go to the
    /// session it names, which is that of the message. When it throws, the connection ends for
    /// <see cref="CloseReason.HandlerFault"/>, the messages left of it are not handled, and the client comes back.
    /// </summary>
    public Func<Session<T>, T, ValueTask>? OnMessage { get; set; }

    /// <summary>
    /// Told of messages that <see cref="WhileDown.Buffer"/> kept and that are lost: how many, and whether they were
    /// never sent (the client was disposed first) or their outcome is unknown (the connection ended while they were on
    /// their way; at most 64 KiB and one message at a time). It must be quick and not throw; what it throws is ignored.
    /// </summary>
    public Action<SendOutcome, int>? OnLost { get; set; }

    /// <summary>
    /// How replies find their requests, heartbeats, silence. <see cref="SessionOptions{T}.ReceiveQueueBytesMax"/>
    /// bounds the messages that wait for a taker, twice: those of the connection, and those of the client.
    /// </summary>
    public SessionOptions<T> Session { get; set; } = new();

    /// <summary>
    /// The most time that disposing gives to what was accepted before: held messages, sends and requests under way, and
    /// messages for <see cref="OnMessage"/>; at most 49 days or infinite. Default 10 s.
    /// </summary>
    public TimeSpan DrainTimeout { get; set => field = Checked(value); } = TimeSpan.FromSeconds(10);

    private static TimeSpan Checked(TimeSpan time)
    {
        if (time != Timeout.InfiniteTimeSpan)
            ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        return TimerTime.Checked(time, nameof(time));
    }
}

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
