using System.Collections.Concurrent;
using System.Net;
using Mortise.Transports;

namespace Mortise.Server;

/// <summary>
/// Who may come in. A descriptor is claimed before accept, because a process that runs out of them dies; a place after
/// it, so that one idle listener does not sit on a place that another one needs. At the limit each listener holds one
/// accepted connection back, the kernel's queue holds the rest, and nobody is thrown out.
/// </summary>
internal sealed class Admission
{
    private readonly SemaphoreSlim _places;
    private readonly DescriptorLedger _descriptors;
    private readonly ConcurrentDictionary<IPAddress, int> _perAddress = new();
    private readonly int _perAddressMax;
    private readonly bool _limitLoopback;
    private readonly ServerOptions _options;

    public Admission(ServerOptions options, DescriptorLedger descriptors)
    {
        _descriptors = descriptors;
        _options = options;
        Limit = Math.Min(options.MaxConnections, descriptors.Capacity);
        Bound = Limit < options.MaxConnections ? "`ulimit -n`" : nameof(options.MaxConnections);
        _places = new SemaphoreSlim(Limit, Limit);
        _perAddressMax = options.MaxConnectionsPerAddress;
        _limitLoopback = options.LimitsLoopback;
    }

    /// <summary>The lesser of the option and what the descriptor limit leaves.</summary>
    public int Limit { get; }

    /// <summary>Which of the two it is.</summary>
    public string Bound { get; }

    public bool IsFull => _places.CurrentCount == 0;

    public Task ClaimDescriptorAsync(CancellationToken cancellationToken) => _descriptors.ClaimAsync(cancellationToken);

    public bool TryClaimDescriptor() => _descriptors.TryClaim();

    public void ReleaseDescriptor() => _descriptors.Release();

    public Task ClaimPlaceAsync(CancellationToken cancellationToken) => _places.WaitAsync(cancellationToken);

    public bool TryClaimPlace() => _places.Wait(0);

    public void ReleasePlace() => _places.Release();

    /// <summary>
    /// False when the peer's address has its share already. Every true is paid back by one leave. A trusted proxy is
    /// not counted: those for whom it speaks are, once their headers have been read.
    /// </summary>
    public bool TryEnter(Endpoint peer) => _options.Trusts(peer) || TryCount(peer);

    /// <summary>For one who was not let in.</summary>
    public void Leave(Endpoint peer)
    {
        if (!_options.Trusts(peer))
            Uncount(peer);
    }

    /// <summary>The same key as when it came in.</summary>
    public void Leave(Connection connection)
    {
        if (_options.ProxyProtocol == ProxyProtocol.Off || connection.Proxy is not { } header)
            Leave(connection.RemoteEndpoint);
        else if (header.Source is not null)
            Uncount(connection.RemoteEndpoint);
    }

    /// <summary>One more for whom a proxy speaks; false when its address has its share already.</summary>
    public bool TryCount(Endpoint peer)
    {
        if (Counted(peer) is not { } address)
            return true;
        while (true)
        {
            // Never above the limit, not even for a moment: two newcomers that race must not turn each other away.
            if (!_perAddress.TryGetValue(address, out var count))
            {
                if (_perAddressMax < 1)
                    return false;
                if (_perAddress.TryAdd(address, 1))
                    return true;
            }
            else if (count >= _perAddressMax)
            {
                return false;
            }
            else if (_perAddress.TryUpdate(address, count + 1, count))
            {
                return true;
            }
        }
    }

    private void Uncount(Endpoint peer)
    {
        if (Counted(peer) is not { } address)
            return;
        var left = _perAddress.AddOrUpdate(address, 0, static (_, n) => n - 1);
        if (left <= 0)
            _perAddress.TryRemove(new KeyValuePair<IPAddress, int>(address, 0));
    }

    private IPAddress? Counted(Endpoint peer)
    {
        if (_perAddressMax == int.MaxValue || peer.Address is not { } address)
            return null;
        return !_limitLoopback && IPAddress.IsLoopback(address) ? null : peer.Customer;
    }
}
