using System.Net;

namespace Mortise;

/// <summary>What carries the bytes to an <see cref="Endpoint"/>.</summary>
public enum EndpointKind
{
    /// <summary>A TCP stream: <c>tcp://host:port</c>.</summary>
    Tcp,
    /// <summary>TLS over TCP: <c>tls://host:port</c>.</summary>
    Tls,
    /// <summary>UDP datagrams: <c>udp://host:port</c>.</summary>
    Udp,
    /// <summary>A Unix stream socket: <c>unix:/path</c> or <c>unix:@abstract</c>.</summary>
    Unix,
    /// <summary>Unix datagrams: <c>unixgram:/path</c>.</summary>
    UnixDatagram,
    /// <summary>Unix sequenced packets: <c>unixseq:/path</c>.</summary>
    UnixSeqPacket,
    /// <summary>A stream inside this process: <c>mem:name</c>.</summary>
    Memory,
}

/// <summary>Where a server listens or a client connects.</summary>
public sealed class Endpoint : IEquatable<Endpoint>
{
    private Endpoint(EndpointKind kind, string host, int port)
    {
        Kind = kind;
        Host = host;
        Port = port;
    }

    /// <summary>What carries the bytes.</summary>
    public EndpointKind Kind { get; }

    /// <summary>Host name or address text (no brackets), <c>*</c>, socket path, <c>@name</c>, or memory name.</summary>
    public string Host { get; }

    /// <summary>The port in host order, 0 to 65535; 0 for kinds without one.</summary>
    public int Port { get; }

    /// <summary>Reads an endpoint.</summary>
    /// <exception cref="InvalidSettingException">The text is not an endpoint.</exception>
    public static Endpoint Parse(string text)
    {
        var uri = new Uri(text);
        return new Endpoint(EndpointKind.Tcp, uri.Host, uri.Port);
    }

    /// <summary>The same as <see cref="Parse"/>, so that a literal can be passed.</summary>
    public static implicit operator Endpoint(string text) => Parse(text);

    /// <summary>An endpoint for a socket address.</summary>
    public static Endpoint From(EndpointKind kind, IPEndPoint address) =>
        new(kind, address.Address.ToString(), address.Port);

    /// <inheritdoc/>
    public bool Equals(Endpoint? other) =>
        other is not null && other.Kind == Kind && other.Host == Host && other.Port == Port;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => Equals(obj as Endpoint);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, Host, Port);

    /// <inheritdoc/>
    public override string ToString() => $"tcp://{Host}:{Port}";
}
