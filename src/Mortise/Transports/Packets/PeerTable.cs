using System.Diagnostics.CodeAnalysis;
using Mortise.Transports.Datagrams;

namespace Mortise.Transports.Packets;

/// <summary>
/// The peers of a socket by their ends, and whom of them to give up when there is no room: one that has not confirmed
/// and was silent longest, roughly (second chance).
/// </summary>
internal sealed class PeerTable
{
    private readonly Lock _gate = new();
    private readonly Dictionary<byte[], PeerConnection> _peers;
    private readonly Dictionary<byte[], PeerConnection>.AlternateLookup<ReadOnlySpan<byte>> _lookup;
    private readonly Queue<PeerConnection> _candidates = [];
    private int _live;

    public PeerTable() =>
        _lookup = (_peers = new(new ByContent())).GetAlternateLookup<ReadOnlySpan<byte>>();

    public bool TryFind(ReadOnlySpan<byte> key, [NotNullWhen(true)] out PeerConnection? peer)
    {
        lock (_gate)
            return _lookup.TryGetValue(key, out peer);
    }

    /// <summary>In place of one with the same ends that takes no more.</summary>
    public void Add(PeerConnection peer)
    {
        lock (_gate)
        {
            _live++;
            _peers[peer.Key] = peer;
            if (_candidates.Count > 2 * _peers.Count + 64)
                ForgetEnded();
            _candidates.Enqueue(peer);
        }
    }

    /// <summary>True for the last that lived.</summary>
    public bool Remove(PeerConnection peer)
    {
        lock (_gate)
        {
            if (_peers.TryGetValue(peer.Key, out var present) && present == peer)
                _peers.Remove(peer.Key);
            return --_live == 0;
        }
    }

    public bool IsEmpty
    {
        get
        {
            lock (_gate)
                return _live == 0;
        }
    }

    /// <summary>Who has to go; null where all have confirmed.</summary>
    public PeerConnection? Victim()
    {
        lock (_gate)
        {
            // Twice around: the first look takes away what the second decides by.
            for (var looks = 2 * _candidates.Count; looks > 0 && _candidates.TryDequeue(out var peer); looks--)
            {
                if (peer.IsConfirmed || peer.CloseReason is not null)
                    continue;
                // One that still waits to be let in holds no place that could be given to another.
                if (!peer.WasHeard && peer.HasPlace)
                    return peer;
                peer.WasHeard = false;
                _candidates.Enqueue(peer);
            }

            return null;
        }
    }

    private void ForgetEnded()
    {
        for (var looks = _candidates.Count; looks > 0; looks--)
            if (_candidates.Dequeue() is { CloseReason: null, IsConfirmed: false } peer)
                _candidates.Enqueue(peer);
    }
}
