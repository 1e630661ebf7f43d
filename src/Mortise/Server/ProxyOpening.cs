using System.IO.Pipelines;
using Mortise.Telemetry;
using Mortise.Transports.Proxy;

namespace Mortise.Server;

/// <summary>
/// The first opening where PROXY headers are required: reads one, from trusted sources only, and lets the lists and
/// limits judge whom it tells. What comes behind it stays in the connection's input.
/// </summary>
internal sealed class ProxyOpening(ServerOptions options, Admission admission, ServerCounters counters)
{
    public async ValueTask OpenAsync(Connection connection, CancellationToken cancellationToken)
    {
        var via = connection.RemoteEndpoint;
        if (!options.Trusts(via))
            throw new HandshakeException("proxy", CloseReason.ProxyHeader,
                $"{(via.Address is { } address ? address : "a peer without an address")} is not a trusted proxy",
                "if it is yours, add it to `--trusted CIDR` (ServerOptions.TrustedProxies)");
        var header = await ReadAsync(connection.Input, cancellationToken).ConfigureAwait(false);
        header.Via = via;
        if (header.Source is { } source && !IsAdmitted(source))
        {
            connection.AbortFor(CloseReason.RateLimit); // as one who is not let in at accept
            connection.ThrowIfEnded("accept");
        }

        connection.Tell(header);
    }

    private static async ValueTask<ProxyHeader> ReadAsync(PipeReader input, CancellationToken cancellationToken)
    {
        while (true)
        {
            var read = await input.ReadAsync(cancellationToken).ConfigureAwait(false);
            var consumed = read.Buffer.Start;
            var examined = read.Buffer.End;
            try
            {
                if (ProxyReader.TryRead(read.Buffer, out var header, out var length))
                {
                    consumed = examined = read.Buffer.GetPosition(length);
                    return header;
                }

                if (read.IsCompleted)
                    throw new HandshakeException("proxy", CloseReason.ProxyHeader, read.Buffer.IsEmpty
                        ? "the connection ended before its PROXY header"
                        : $"the connection ended inside its PROXY header, after {read.Buffer.Length} bytes",
                        "a health check that only connects? let the proxy send LOCAL (haproxy: check-send-proxy)");
            }
            finally
            {
                input.AdvanceTo(consumed, examined);
            }
        }
    }

    private bool IsAdmitted(Endpoint peer)
    {
        var welcome = options.Admits(peer);
        if (welcome && admission.TryCount(peer))
            return true;
        counters.Rejected(welcome ? RejectReason.AddressLimit : RejectReason.Denied);
        ServerLog.Rejected(options.Log, peer.Authority, welcome ? "address_limit" : "denied");
        return false;
    }
}
