using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Mortise.Tests.Addresses;

/// <summary>
/// A DNS server on one loopback port, UDP and TCP. By default it answers from what <see cref="Add"/> gave it, with
/// whole CNAME chains; <see cref="Answer"/> replaces that with anything, also several datagrams or none.
/// </summary>
internal sealed class LoopbackDns : IAsyncDisposable
{
    private readonly Socket _udp = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly TcpListener _tcp;
    private readonly CancellationTokenSource _stop = new();
    private readonly List<(string Owner, ushort Type, string Data, uint TtlSeconds)> _zone = [];
    private readonly Task[] _loops;

    public LoopbackDns()
    {
        (_tcp, Address) = ListenOnOnePort();
        Answer = ask => [FromZone(ask)];
        _loops = [Task.Run(ServeUdpAsync), Task.Run(ServeTcpAsync)];
    }

    public IPEndPoint Address { get; }

    public ConcurrentQueue<DnsAsk> Asked { get; } = new();

    public Func<DnsAsk, IEnumerable<byte[]>> Answer { get; set; }

    /// <summary>What goes onto a TCP connection for a reply; the default puts its length before it.</summary>
    public Func<byte[], byte[]> FrameTcp { get; set; } =
        reply => [(byte)(reply.Length >> 8), (byte)reply.Length, .. reply];

    /// <summary>A resolver that asks only this server and reads no hosts file.</summary>
    public Resolver Resolver(TimeSpan? timeout = null, int attempts = 1, TimeProvider? clock = null) =>
        new(new ResolverOptions
        {
            HostsFile = "/nonexistent/hosts",
            DnsServer = Address,
            Timeout = timeout ?? TimeSpan.FromSeconds(10),
            Attempts = attempts,
            TimeProvider = clock ?? TimeProvider.System,
        });

    public LoopbackDns Add(string owner, ushort type, string data, uint ttlSeconds = 60)
    {
        lock (_zone)
            _zone.Add((owner, type, data, ttlSeconds));
        return this;
    }

    private byte[] FromZone(DnsAsk ask)
    {
        lock (_zone)
        {
            var reply = new DnsReplyBytes(ask, _zone.Exists(record => record.Owner == ask.Name) ? 0 : 3);
            var owner = ask.Name;
            while (_zone.Find(record => record.Owner == owner && record.Type == DnsReplyBytes.Cname)
                is { Owner: not null } link)
            {
                reply.Pointing(owner, DnsReplyBytes.Cname, link.Data, link.TtlSeconds);
                owner = link.Data;
            }
            foreach (var record in _zone.Where(record => record.Owner == owner && record.Type == ask.Type))
            {
                _ = record.Type == DnsReplyBytes.Ptr
                    ? reply.Pointing(owner, record.Type, record.Data, record.TtlSeconds)
                    : reply.Address(owner, record.Data, record.TtlSeconds);
            }
            return reply.ToArray();
        }
    }

    private (TcpListener, IPEndPoint) ListenOnOnePort()
    {
        for (var tries = 0; ; tries++)
        {
            var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var address = (IPEndPoint)listener.LocalEndpoint;
            try
            {
                _udp.Bind(address);
                return (listener, address);
            }
            catch (SocketException) when (tries < 20)
            {
                // Another program has the UDP port of that number; ask the kernel for another.
                listener.Dispose();
            }
        }
    }

    private IEnumerable<byte[]> Ask(byte[] query, bool overTcp)
    {
        var labels = new List<string>();
        var at = 12;
        for (; query[at] != 0; at += query[at] + 1)
            labels.Add(Encoding.ASCII.GetString(query, at + 1, query[at]));
        var ask = new DnsAsk(query, string.Join('.', labels), (ushort)(query[at + 1] << 8 | query[at + 2]), overTcp);
        Asked.Enqueue(ask);
        return Answer(ask);
    }

    private async Task ServeUdpAsync()
    {
        var buffer = new byte[2048];
        while (true)
        {
            var got = await _udp.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0), _stop.Token);
            foreach (var reply in Ask(buffer[..got.ReceivedBytes], overTcp: false))
                await _udp.SendToAsync(reply, got.RemoteEndPoint, _stop.Token);
        }
    }

    private async Task ServeTcpAsync()
    {
        while (true)
        {
            using var client = await _tcp.AcceptTcpClientAsync(_stop.Token);
            var stream = client.GetStream();
            var length = new byte[2];
            await stream.ReadExactlyAsync(length, _stop.Token);
            var query = new byte[length[0] << 8 | length[1]];
            await stream.ReadExactlyAsync(query, _stop.Token);
            foreach (var reply in Ask(query, overTcp: true))
                await stream.WriteAsync(FrameTcp(reply), _stop.Token);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_loops).ContinueWith(_ => { }, TaskScheduler.Default);
        _udp.Dispose();
        _tcp.Dispose();
        _stop.Dispose();
    }
}
