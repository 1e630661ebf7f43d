using System.Net;
using Mortise.Addresses;
using Mortise.Transports;

namespace Mortise.Client;

/// <summary>
/// From an endpoint to a live connection or one exception that lists every attempt: resolves the name, tries its
/// addresses side by side with a head start each (RFC 8305), and tries all of it again if asked.
/// </summary>
internal sealed class Connector(Transport transport, ClientOptions options)
{
    private readonly TimeProvider _time = options.Transport.Time;

    public async ValueTask<Connection> ConnectAsync(Endpoint endpoint, CancellationToken cancellationToken)
    {
        for (var retry = 1; ; retry++)
        {
            try
            {
                return await ConnectOnceAsync(endpoint, cancellationToken).ConfigureAwait(false);
            }
            catch (ConnectException e) when (retry <= options.Retries)
            {
                var pause = options.RetryBackoff.Pause(retry);
                options.OnRetry?.Invoke(retry, e, pause);
                await Task.Delay(pause, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<Connection> ConnectOnceAsync(Endpoint endpoint, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(options.ConnectTimeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, timeout.Token);
        var race = new AddressRace(transport, options, endpoint);
        try
        {
            var connection = await race.RunAsync(await AddressesAsync(endpoint, both.Token).ConfigureAwait(false),
                both.Token).ConfigureAwait(false);
            if (options.ProxyHeader is { } header)
                await TellAsync(connection, header, both.Token).ConfigureAwait(false);
            if (endpoint.Kind == EndpointKind.Tls)
                await EncryptAsync(connection, endpoint, timeout.Token, both.Token).ConfigureAwait(false);
            return connection;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw race.TimedOut(options.ConnectTimeout);
        }
    }

    private static async ValueTask TellAsync(Connection connection, ProxyHeader header,
        CancellationToken cancellationToken)
    {
        try
        {
            await connection.SendAsync(header.ToBytes(), cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            connection.Abort();
            throw;
        }
    }

    /// <summary>The name of the endpoint is the one that the certificate must carry, whatever its address.</summary>
    private async ValueTask EncryptAsync(Connection connection, Endpoint endpoint, CancellationToken timeout,
        CancellationToken both)
    {
        try
        {
            await options.Tls.OpenAsync(connection, endpoint.Host, both).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            connection.Abort();
            if (!timeout.IsCancellationRequested)
                throw;
            throw new HandshakeException("tls", CloseReason.HandshakeTimeout,
                $"the TLS handshake was not over {options.ConnectTimeout.TotalSeconds:0.###} s after the connect began",
                "does that port speak TLS, or does it wait for a word in the clear?", endpoint.ToString());
        }
        catch
        {
            await connection.CloseForAsync(CloseReason.Tls, TimeSpan.FromSeconds(1), TimeSpan.Zero)
                .ConfigureAwait(false); // an alert tells the server why
            throw;
        }
    }

    private async ValueTask<IReadOnlyList<Endpoint>> AddressesAsync(Endpoint endpoint,
        CancellationToken cancellationToken)
    {
        if (endpoint.ToSocketEndPoint() is not null || endpoint.Kind == EndpointKind.Memory)
            return [Dialable(endpoint)];
        var entry = await options.Resolver.ResolveAsync(endpoint.Host, cancellationToken).ConfigureAwait(false);
        return [.. AddressOrder.Interleave(entry.Addresses).Select(endpoint.WithAddress)];
    }

    /// <summary>A wildcard is an address to listen on; dialling it means this machine.</summary>
    private static Endpoint Dialable(Endpoint endpoint) => endpoint.IsWildcard
        ? endpoint.WithAddress(endpoint.Host == "::" ? IPAddress.IPv6Loopback : IPAddress.Loopback)
        : endpoint;
}
