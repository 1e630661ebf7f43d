using Mortise.Telemetry;
using Mortise.Transports.Pipes;

namespace Mortise.Transports.Packets;

/// <summary>Sends for all peers of a socket, many datagrams with one call.</summary>
internal sealed class PeerSender(DatagramSocket socket) : PacketSender(DatagramsAtOnce, BlockPool.Shared)
{
    private const int DatagramsAtOnce = 64, NoPlace = -1;

    private readonly int[] _places = new int[DatagramsAtOnce];
    private readonly DatagramBatch _batch = new(DatagramsAtOnce);

    protected override async ValueTask SendAsync(ReadOnlyMemory<Outgoing> packets)
    {
        Fill(packets.Span);
        try
        {
            await socket.SendBatchAsync(_batch).ConfigureAwait(false);
        }
        catch (ConnectionException)
        {
            // The socket was closed, which happens when nobody is left to send to.
        }

        Settle(packets.Span);
    }

    /// <summary>One whose connection is over stays out.</summary>
    private void Fill(ReadOnlySpan<Outgoing> packets)
    {
        _batch.Clear();
        for (var i = 0; i < packets.Length; i++)
        {
            var connection = (PeerConnection)packets[i].Connection;
            _places[i] = connection.CloseReason is null ? _batch.Count : NoPlace;
            if (_places[i] != NoPlace)
                _batch.Add(packets[i].Bytes.Span, connection.Path, socket);
        }
    }

    private void Settle(ReadOnlySpan<Outgoing> packets)
    {
        for (var i = 0; i < packets.Length; i++)
        {
            var (connection, bytes) = (packets[i].Connection, packets[i].Block.Filled);
            var failure = _places[i] == NoPlace ? null : _batch[_places[i]].Failure;
            connection.Settled(bytes, _places[i] == NoPlace || failure is not null ? 0 : bytes);
            if (failure is { Symbol: "EAGAIN" or "ENOBUFS" })
                connection.CountDropped(DropReason.SlowReader); // a Unix peer that does not read, or a full device
            else if (failure is not null)
                connection.EndFor(failure.CloseReason, failure);
        }
    }
}
