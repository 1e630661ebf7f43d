using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Mortise.Transports;

namespace Mortise.Server;

/// <summary>
/// Who may come in. A place and a descriptor are claimed before accept, so that at the limit the kernel's queue waits
/// instead of clients being thrown out; the limit per address can only be known after.
/// </summary>
internal sealed class Admission
{
    private readonly SemaphoreSlim _places;
    private readonly DescriptorLedger _descriptors;
    private readonly ConcurrentDictionary<IPAddress, int> _perAddress = new();
    private readonly int _perAddressMax;
    private readonly bool _limitLoopback;

    public Admission(ServerOptions options, DescriptorLedger descriptors)
    {
        _descriptors = descriptors;
        Limit = Math.Min(options.MaxConnections, descriptors.Capacity);
        _places = new SemaphoreSlim(Limit, Limit);
        _perAddressMax = options.MaxConnectionsPerAddress;
        _limitLoopback = options.LimitLoopback;
    }

    /// <summary>The lesser of the option and what the descriptor limit leaves.</summary>
    public int Limit { get; }

    public bool IsFull => _places.CurrentCount == 0 || _descriptors.Claimed >= _descriptors.Capacity;

    public async ValueTask ClaimPlaceAsync(CancellationToken cancellationToken)
    {
        await _places.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            await _descriptors.ClaimAsync(cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            _places.Release();
            throw;
        }
    }

    public void ReleasePlace()
    {
        _descriptors.Release();
        _places.Release();
    }

    /// <summary>False when the peer's address has its share already. Every true is paid back by one leave.</summary>
    public bool TryEnter(Endpoint peer)
    {
        if (Counted(peer) is not { } address)
            return true;
        var count = _perAddress.AddOrUpdate(address, 1, static (_, n) => n + 1);
        if (count <= _perAddressMax)
            return true;
        Leave(peer);
        return false;
    }

    public void Leave(Endpoint peer)
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
        if (!_limitLoopback && IPAddress.IsLoopback(address))
            return null;
        return address.AddressFamily == AddressFamily.InterNetworkV6 ? Network64(address) : address;
    }

    /// <summary>One IPv6 customer has a /64: counting single addresses would count nobody.</summary>
    private static IPAddress Network64(IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[16];
        address.TryWriteBytes(bytes, out _);
        bytes[8..].Clear();
        return new IPAddress(bytes);
    }
}
