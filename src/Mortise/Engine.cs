using System.Net;
using Mortise.Transports;
using Mortise.Transports.Managed;
using Mortise.Transports.Memory;

namespace Mortise;

/// <summary>
/// Chooses the transport that carries an endpoint. Only the front doors ask; no room below knows the choice.
/// </summary>
internal static class Engine
{
    private static readonly Transport[] Transports = [new ManagedTransport(), new MemoryTransport()];

    /// <summary>
    /// <c>localhost</c> is an address by definition (RFC 6761), so that it can be listened on; other names cannot.
    /// </summary>
    public static Endpoint Bindable(Endpoint endpoint) => endpoint.Address is null && endpoint.Host == "localhost"
        ? endpoint.WithAddress(IPAddress.Loopback)
        : endpoint;

    /// <exception cref="UnsupportedException">No transport of this build carries the endpoint's kind.</exception>
    public static Transport For(Endpoint endpoint) =>
        Array.Find(Transports, t => t.Carries(endpoint.Kind)) ?? throw (endpoint.Kind switch
        {
            EndpointKind.Tls => new UnsupportedException("open", endpoint.ToString(),
                "this version has no TLS", "use tcp:// behind a TLS proxy until it has"),
            EndpointKind.UnixSeqPacket => new UnsupportedException("open", endpoint.ToString(),
                "this version does not carry sequenced packets", "use unix: with a framing rule, e.g. --frame len:4"),
            _ => new UnsupportedException("open", endpoint.ToString(),
                "datagrams are no stream: they cannot carry a connection", "use DatagramSocket"),
        });
}
