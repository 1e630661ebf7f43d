namespace Mortise;

/// <summary>How a client connects.</summary>
public class ClientOptions
{
    /// <summary>One for all clients, so that they share what it remembers.</summary>
    private static readonly Resolver s_resolver = new();

    /// <summary>The most time for one connect, over all addresses of the name. Default 10 s.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>Head start of one address before the next is tried beside it (RFC 8305). Default 250 ms.</summary>
    public TimeSpan AttemptDelay { get; set; } = TimeSpan.FromMilliseconds(250);

    /// <summary>Further connects after the first failed. Default 0.</summary>
    public int Retries { get; set; }

    /// <summary>The pause before each retry. Default: exponential from 200 ms to 5 s with jitter.</summary>
    public Backoff RetryBackoff { get; set; } =
        Backoff.Exponential(TimeSpan.FromMilliseconds(200), max: TimeSpan.FromSeconds(5));

    /// <summary>Called before each pause: the number of the failed try (from 1), its error, and the pause.</summary>
    public Action<int, ConnectException, TimeSpan>? OnRetry { get; set; }

    /// <summary>Turns names into addresses.</summary>
    public Resolver Resolver { get; set; } = s_resolver;

    /// <summary>
    /// Sent first of all, in one piece, on every connection: for a proxy that tells its server whom it speaks for, and
    /// for tests. Null sends none.
    /// </summary>
    public ProxyHeader? ProxyHeader { get; set; }

    /// <summary>How <c>tls://</c> endpoints are encrypted, and whom to trust there.</summary>
    public TlsClientOptions Tls { get; } = new();

    /// <summary>What the kernel is told about the socket, and the local address to use.</summary>
    public TransportOptions Transport { get; } = new();
}
